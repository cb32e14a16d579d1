"""Meters: opening, running, pausing, repricing and closing them.

Every change holds the payer's account, counts up to its instant, posts what that adds, and keeps the
instant at which the payer's credit ends, in one transaction. An instant before what is settled already is
taken as the settled one: nothing is charged twice and nothing posted is taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction

from billing import locks
from billing.domain.accrual import check_rate
from billing.domain.errors import (
    InvalidMeterKindError,
    InvalidReferenceError,
    MeterClosedError,
    MeterExistsError,
    SamePartyError,
    UnknownMeterError,
)
from billing.domain.split import check_share
from billing.models import AccountKind, Meter, MeterKind, MeterSegment
from billing.selectors.terms import host_share_bps_of
from billing.services.accounts import accounts_ensure, accounts_lock
from billing.services.depletion import zero_at_refresh
from billing.services.settlement import accrued_post

MAX_REFERENCE_LENGTH = 100


@dataclass(frozen=True)
class NewMeter:
    """One to open: of time, which does not run yet, at ``rate_micros`` per hour; of traffic, per GB of 10^9 bytes."""

    reference: str
    kind: str
    rate_micros: int


@transaction.atomic
def meters_open(
    *,
    meters: Sequence[NewMeter],
    payer: AbstractBaseUser,
    payee: AbstractBaseUser,
    now: datetime,
    earner: str = "",
    host_share_bps: int | None = None,
) -> list[Meter]:
    """All meters of one contract, or none. Raises as ``meter_open``."""
    share_bps = host_share_bps_of(payee.pk) if host_share_bps is None else host_share_bps
    opened = [
        _new_meter(wanted.reference, wanted.kind, earner, payer, payee, wanted.rate_micros, now, share_bps)
        for wanted in meters
    ]
    _insert(opened)
    _segments_start([meter for meter in opened if meter.kind == MeterKind.TRAFFIC])
    return opened


@transaction.atomic
def meter_open(
    *,
    reference: str,
    kind: str,
    payer: AbstractBaseUser,
    payee: AbstractBaseUser,
    rate_micros_per_hour: int,
    now: datetime,
    running: bool,
    earner: str = "",
    host_share_bps: int | None = None,
) -> Meter:
    """A new meter of GPU time or storage, running from ``now`` or paused.

    ``earner`` names what of the payee's earns it, for invoices. ``host_share_bps`` is the payee's part in hundredths
    of a percent; what was agreed with the payee when not given. Raises InvalidMeterKindError, InvalidRateError,
    InvalidShareError, InvalidReferenceError, SamePartyError, MeterExistsError.
    """
    if kind not in (MeterKind.GPU, MeterKind.STORAGE):
        raise InvalidMeterKindError(f"{kind!r} is no kind of meter that counts time; use 'gpu' or 'storage'.")
    meter = _new_meter(reference, kind, earner, payer, payee, rate_micros_per_hour, now, host_share_bps)
    if running:
        meter.running_since = now
    _insert([meter])
    if running:
        _segments_start([meter])
        zero_at_refresh(owner_ids=[payer.pk], now=now)
    return meter


@transaction.atomic
def traffic_meter_open(
    *,
    reference: str,
    payer: AbstractBaseUser,
    payee: AbstractBaseUser,
    rate_micros_per_gb: int,
    now: datetime,
    earner: str = "",
    host_share_bps: int | None = None,
) -> Meter:
    """A new meter that counts bytes, at micro-dollars per GB of 10^9 bytes. Raises as ``meter_open``."""
    wanted = NewMeter(reference, MeterKind.TRAFFIC, rate_micros_per_gb)
    (meter,) = meters_open(
        meters=[wanted], payer=payer, payee=payee, now=now, earner=earner, host_share_bps=host_share_bps
    )
    return meter


@transaction.atomic
def meter_resume(*, reference: str, now: datetime) -> Meter:
    """Starts charging time at ``now``; a running meter stays as it is.

    Raises UnknownMeterError, MeterClosedError, InvalidMeterKindError (traffic does not run).
    """
    meter = _open_meter(reference)
    if meter.kind == MeterKind.TRAFFIC:
        raise InvalidMeterKindError(f"Meter {reference!r} counts bytes; it cannot run.")
    if meter.running_since is None:
        meter.running_since = meter.settled_at = max(now, meter.settled_at)
        _segments_start([meter])
        _save(meter, now)
    return meter


@transaction.atomic
def meter_pause(*, reference: str, at: datetime) -> Meter:
    """Stops charging time exactly at ``at`` and posts it; a paused or closed meter stays as it is.

    Raises UnknownMeterError.
    """
    meter = _locked_meter(reference)
    if meter.running_since is not None:
        accrued_post([meter], at)
        _segment_end(meter)
        meter.running_since = None
        _save(meter, at)
    return meter


@transaction.atomic
def meter_set_rate(*, reference: str, rate_micros: int, now: datetime) -> Meter:
    """Charges at ``rate_micros`` (per hour; per GB for traffic) from ``now``, and posts what the old rate
    accrued.

    Raises UnknownMeterError, MeterClosedError, InvalidRateError.
    """
    check_rate(rate_micros)
    meter = _open_meter(reference)
    if rate_micros != meter.rate_micros:
        accrued_post([meter], now)
        lasting = _segment_end(meter)
        meter.rate_micros = rate_micros
        if lasting:
            meter.running_since = meter.running_since and meter.settled_at
            _segments_start([meter])
        _save(meter, now)
    return meter


@transaction.atomic
def meter_close(*, reference: str, at: datetime) -> Meter:
    """Stops charging at ``at`` for good and posts the rest; a closed meter stays as it is. Raises
    UnknownMeterError.
    """
    meter = _locked_meter(reference)
    if meter.closed_at is None:
        accrued_post([meter], at)
        _segment_end(meter)
        meter.running_since = None
        meter.closed_at = meter.settled_at
        _save(meter, at)
    return meter


@transaction.atomic
def traffic_count(*, reference: str, bytes_total: int, now: datetime) -> Meter:
    """Counts traffic up to ``bytes_total``, all bytes since the meter was opened.

    A total that is not higher than the last one changes nothing, so reports may be doubled, lost or late.
    Raises UnknownMeterError, MeterClosedError, InvalidMeterKindError.
    """
    meter = _open_meter(reference)
    if meter.kind != MeterKind.TRAFFIC:
        raise InvalidMeterKindError(f"Meter {reference!r} counts time, not bytes.")
    new_bytes = bytes_total - meter.counted_bytes
    if new_bytes > 0:
        meter.counted_bytes = bytes_total
        meter.units = Decimal(int(meter.units) + meter.rate_micros * new_bytes)
        segment = MeterSegment.objects.get(meter=meter, ended_at=None)
        segment.counted_bytes += new_bytes
        segment.save(update_fields=["counted_bytes"])
        _save(meter, now)
    return meter


def _new_meter(
    reference: str,
    kind: str,
    earner: str,
    payer: AbstractBaseUser,
    payee: AbstractBaseUser,
    rate_micros: int,
    now: datetime,
    host_share_bps: int | None,
) -> Meter:
    if kind not in MeterKind.values:
        raise InvalidMeterKindError(f"{kind!r} is no kind of meter.")
    share_bps = host_share_bps_of(payee.pk) if host_share_bps is None else host_share_bps
    check_rate(rate_micros)
    check_share(share_bps)
    if not 0 < len(reference) <= MAX_REFERENCE_LENGTH or len(earner) > MAX_REFERENCE_LENGTH:
        raise InvalidReferenceError(f"A meter's reference has 1 to {MAX_REFERENCE_LENGTH} characters.")
    if payer.pk == payee.pk:
        raise SamePartyError("An account cannot rent from itself.")
    return Meter(
        reference=reference,
        kind=kind,
        earner=earner,
        payer_id=payer.pk,
        payee_id=payee.pk,
        rate_micros=rate_micros,
        host_share_bps=share_bps,
        settled_at=now,
        opened_at=now,
    )


def _insert(meters: Sequence[Meter]) -> None:
    """Writes new meters of one contract under the payer's lock; both accounts exist before anything can be charged."""
    accounts_lock(payer_ids={meter.payer_id for meter in meters})
    accounts_ensure(AccountKind.HOST_EARNINGS, {meter.payee_id for meter in meters})
    try:
        with transaction.atomic():
            Meter.objects.bulk_create(meters)
    except IntegrityError as error:
        names = [meter.reference for meter in meters]
        known = Meter.objects.filter(reference__in=names).values_list("reference", flat=True).first()
        if known is None:
            raise
        raise MeterExistsError(f"Meter {known!r} exists already.") from error


def _locked_meter(reference: str) -> Meter:
    payer_id = Meter.objects.filter(reference=reference).values_list("payer_id", flat=True).first()
    if payer_id is None:
        raise UnknownMeterError(f"There is no meter {reference!r}.")
    locks.client_accounts([payer_id])
    return Meter.objects.get(reference=reference)


def _open_meter(reference: str) -> Meter:
    meter = _locked_meter(reference)
    if meter.closed_at is not None:
        raise MeterClosedError(f"Meter {reference!r} was closed at {meter.closed_at:%Y-%m-%d %H:%M:%S} UTC.")
    return meter


def _segments_start(meters: Sequence[Meter]) -> None:
    MeterSegment.objects.bulk_create(
        MeterSegment(meter=meter, rate_micros=meter.rate_micros, started_at=meter.running_since or meter.settled_at)
        for meter in meters
    )


def _segment_end(meter: Meter) -> bool:
    """Ends the segment that lasts, where the meter is settled; whether there was one."""
    return bool(MeterSegment.objects.filter(meter=meter, ended_at=None).update(ended_at=meter.settled_at))


def _save(meter: Meter, now: datetime) -> None:
    meter.save()
    zero_at_refresh(owner_ids=[meter.payer_id], now=now)
