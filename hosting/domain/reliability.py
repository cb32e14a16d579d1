"""How reliable a machine is, from what is recorded of it: a fold over facts and periods.

Three decayed tracks (``hosting.domain.beta``): *availability* counts time in hours, *launches* and *checks* count
pieces. The fold cuts time at every fact, at every begin and end of a period and at every midnight, and rounds at cuts
only. So going on from a ``Standing`` of some midnight gives what going over everything again gives, to the last bit.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from hosting.domain.beta import NOTHING, Beta, Track, faded_sum, product_lower, product_mean

AVAILABILITY_PRIOR = Beta(23.0, 1.0)
"""In hours, a day's worth: as if a day had been seen with one hour down. Time is counted as it passes, but the minutes
of one outage are no independent trials; a prior of 23 minutes would be forgotten before the first rental has begun."""
LAUNCHES_PRIOR = Beta(9.0, 1.0)
CHECKS_PRIOR = Beta(9.0, 1.0)
EXPONENTS = (1.0, 0.5, 0.25)
"""Of availability, launches and performance checks in the product."""
RENTED_WEIGHT = 5.0
"""How much more down-time counts when it hits rentals."""
RENTED_LEAST = timedelta(hours=1)
"""What an outage that hits rentals counts at least."""
DIGITS = 4
"""To which the two figures are kept, so that most sweeps change nothing."""

_HOUR = timedelta(hours=1)
_SECONDS_PER_HOUR = _HOUR.total_seconds()
_DAY = timedelta(days=1)


class Kind(StrEnum):
    """What a fact says."""

    LISTED = "listed"
    UNLISTED = "unlisted"
    ONLINE = "online"
    OFFLINE = "offline"
    ENGINE_WORKS = "engine_works"
    ENGINE_FAILS = "engine_fails"
    LAUNCHED = "launched"
    LAUNCH_FAILED = "launch_failed"
    """By the host's fault."""
    CHECK_PASSED = "check_passed"
    CHECK_FAILED = "check_failed"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened at an instant."""

    at: datetime
    kind: Kind


@dataclass(frozen=True, slots=True)
class Period:
    """From ``start`` up to but without ``end``."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that is known of one machine. Facts are in the order in which they take effect."""

    facts: Sequence[Fact] = ()
    rented: Sequence[Period] = ()
    """When a client's container held a GPU of the machine."""
    maintenance: Sequence[Period] = ()
    """Announced beforehand."""
    own_outages: Sequence[Period] = ()
    """When it was the marketplace that did not work."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the record up to ``as_of`` comes to: all that is needed to go on from there."""

    as_of: datetime
    availability: Track = NOTHING
    launches: Track = NOTHING
    checks: Track = NOTHING
    listed: bool = False
    online: bool = False
    engine_works: bool = True
    hit_seconds: float = 0.0
    """How much of the outage that goes on has hit rentals."""

    @property
    def is_up(self) -> bool:
        """Whether clients can use the machine."""
        return self.online and self.engine_works


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which nothing changed, and the standing at its end."""

    start: datetime
    end: datetime
    is_up: bool
    is_rented: bool
    counts: bool
    after: Standing


@dataclass(frozen=True, slots=True)
class Outage:
    """Down-time without a break. ``counted`` is the part that counts against the machine, without any weight."""

    start: datetime
    end: datetime
    counted: timedelta = timedelta()
    hit_rentals: bool = False


@dataclass(frozen=True, slots=True)
class Reliability:
    """The two figures of a standing and the means of the three tracks, all 0..1."""

    shown: float
    lower: float
    """In one case of ten the machine is less reliable than this. What the search ranks by."""
    availability: float
    launches: float
    checks: float


def reliability_of(standing: Standing) -> Reliability:
    """m_a * sqrt(m_l) * m_q^(1/4) of the tracks' means, and the lower 10% quantile of the same product."""
    betas = (
        AVAILABILITY_PRIOR.with_track(standing.availability),
        LAUNCHES_PRIOR.with_track(standing.launches),
        CHECKS_PRIOR.with_track(standing.checks),
    )
    factors = list(zip(betas, EXPONENTS, strict=True))
    return Reliability(
        round(product_mean(factors), DIGITS),
        round(product_lower(factors), DIGITS),
        *(beta.mean for beta in betas),
    )


NO_HISTORY = reliability_of(Standing(datetime.min.replace(tzinfo=UTC)))
"""What the priors alone say."""


def inherited(past: Standing, at: datetime) -> Standing:
    """Where a machine begins at ``at`` that had a past under another number: what that came to, faded since."""
    return advance(replace(past, listed=False, online=False, hit_seconds=0.0), Record(), at)


def tracks_kept(standing: Standing) -> list[list[float]]:
    """The three tracks as they are stored."""
    return [[track.good, track.bad] for track in (standing.availability, standing.launches, standing.checks)]


def beginning(at: datetime, kept: list[list[float]] | None) -> Standing:
    """Where a machine began at ``at``: with what ``tracks_kept`` of its past, or with nothing."""
    if kept is None:
        return Standing(at)
    availability, launches, checks = (Track(good, bad) for good, bad in kept)
    return Standing(at, availability, launches, checks)


def advance(standing: Standing, record: Record, until: datetime) -> Standing:
    """The standing at ``until``, with every fact before it. Facts before ``standing.as_of`` are in it already."""
    for stretch in stretches(standing, record, until):
        standing = stretch.after
    return standing


def stretches(standing: Standing, record: Record, until: datetime) -> Iterator[Stretch]:
    """The time from the standing to ``until``, cut where anything changes."""
    rented, maintenance, ours = (_Cover(p) for p in (record.rented, record.maintenance, record.own_outages))
    facts = [fact for fact in record.facts if standing.as_of <= fact.at < until]
    done = 0
    for end in _cuts(standing.as_of, record, until):
        start = standing.as_of
        while done < len(facts) and facts[done].at <= start:
            standing = _with_fact(standing, facts[done].kind)
            done += 1
        is_rented = rented.holds(start)
        counts = (standing.listed or is_rented) and not ours.holds(start)
        counts = counts and (is_rented or not maintenance.holds(start))
        standing = _later(standing, end, is_rented=is_rented, counts=counts)
        yield Stretch(start, end, standing.is_up, is_rented, counts, standing)


def outages(history: Iterable[Stretch]) -> list[Outage]:
    """The outages of a history of which any part counts, the earliest first."""
    found: list[Outage] = []
    going_on = False
    for stretch in history:
        if not stretch.is_up:
            last = found.pop() if going_on else Outage(stretch.start, stretch.start)
            found.append(_prolonged(last, stretch))
        going_on = not stretch.is_up
    return [outage for outage in found if outage.counted]


def midnight(moment: datetime) -> datetime:
    """The latest midnight, UTC, that is not after ``moment``."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(slots=True)
class _Cover:
    """Periods, which may overlap, as a question of instants."""

    periods: Sequence[Period]
    starts: list[datetime] = field(init=False)
    ends: list[datetime] = field(init=False)

    def __post_init__(self) -> None:
        real = [period for period in self.periods if period.start < period.end]
        self.starts = sorted(period.start for period in real)
        self.ends = sorted(period.end for period in real)

    def holds(self, at: datetime) -> bool:
        return bisect_right(self.starts, at) > bisect_right(self.ends, at)


def _cuts(start: datetime, record: Record, until: datetime) -> list[datetime]:
    """Where stretches end, in order; the last is ``until``."""
    if until <= start:
        return []
    marks = {fact.at for fact in record.facts}
    for periods in (record.rented, record.maintenance, record.own_outages):
        marks |= {moment for period in periods for moment in (period.start, period.end)}
    marks |= {midnight(start) + _DAY * days for days in range(1, (until - start).days + 2)}
    return [*sorted(mark for mark in marks if start < mark < until), until]


def _with_fact(standing: Standing, kind: Kind) -> Standing:
    match kind:
        case Kind.LISTED | Kind.UNLISTED:
            return replace(standing, listed=kind is Kind.LISTED)
        case Kind.ONLINE | Kind.OFFLINE:
            return _recovered(replace(standing, online=kind is Kind.ONLINE))
        case Kind.ENGINE_WORKS | Kind.ENGINE_FAILS:
            return _recovered(replace(standing, engine_works=kind is Kind.ENGINE_WORKS))
        case Kind.LAUNCHED:
            return replace(standing, launches=standing.launches.plus(good=1))
        case Kind.LAUNCH_FAILED:
            return replace(standing, launches=standing.launches.plus(bad=1))
        case Kind.CHECK_PASSED:
            return replace(standing, checks=standing.checks.plus(good=1))
        case Kind.CHECK_FAILED:
            return replace(standing, checks=standing.checks.plus(bad=1))


def _recovered(standing: Standing) -> Standing:
    return replace(standing, hit_seconds=0.0) if standing.is_up else standing


def _later(standing: Standing, end: datetime, *, is_rented: bool, counts: bool) -> Standing:
    seconds = (end - standing.as_of).total_seconds()
    availability, hit_seconds = standing.availability, standing.hit_seconds
    if counts and not standing.is_up and is_rented:
        availability, hit_seconds = _hit(availability, hit_seconds, seconds), hit_seconds + seconds
    else:
        hours = faded_sum(seconds) / _SECONDS_PER_HOUR if counts else 0.0
        availability = availability.faded(seconds)
        availability = availability.plus(good=hours) if standing.is_up else availability.plus(bad=hours)
    return replace(
        standing,
        as_of=end,
        availability=availability,
        launches=standing.launches.faded(seconds),
        checks=standing.checks.faded(seconds),
        hit_seconds=hit_seconds,
    )


def _hit(availability: Track, hit_seconds: float, seconds: float) -> Track:
    """After ``seconds`` more of an outage that hits rentals.

    The least that it counts it counts from its first moment on, and nothing more until that has passed.
    """
    if not hit_seconds:
        availability = availability.plus(bad=RENTED_WEIGHT * RENTED_LEAST / _HOUR)
    counted_seconds = min(max(hit_seconds + seconds - RENTED_LEAST.total_seconds(), 0.0), seconds)
    return availability.faded(seconds).plus(bad=RENTED_WEIGHT * faded_sum(counted_seconds) / _SECONDS_PER_HOUR)


def _prolonged(outage: Outage, stretch: Stretch) -> Outage:
    counted = stretch.end - stretch.start if stretch.counts else timedelta()
    return Outage(
        outage.start,
        stretch.end,
        outage.counted + counted,
        outage.hit_rentals or (stretch.counts and stretch.is_rented),
    )
