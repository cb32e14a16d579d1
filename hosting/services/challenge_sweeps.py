"""Finds machines that are due for a challenge."""

import hashlib
import hmac
from datetime import datetime

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from hosting.domain import measuring
from hosting.domain import verification as rules
from hosting.models import ChallengeRun, Listing, Machine, Measurement, VerificationFinding
from hosting.selectors import hardware_of, judged_runs
from hosting.services.measuring import challenge_order

logger = structlog.get_logger(__name__)


def challenges_ask_due(*, now: datetime) -> int:
    """Ask for a challenge of every machine on the market that is due for one; returns of how many.

    Each in a transaction of its own: one that fails is logged and holds up no other. A challenge waits until nobody
    uses its machine. Machines with simulated GPUs claim nothing that could be verified.
    """
    if not settings.DLPERF_IMAGE:
        return 0
    return sum(_ask_alone(pk, now) for pk in list(_candidates()))


def _candidates() -> QuerySet[Machine, int]:
    opened = Measurement.objects.filter(
        machine=OuterRef("pk"), kind=Measurement.Kind.CHALLENGE, state__in=measuring.OPEN
    )
    unjudged = Measurement.objects.filter(
        machine=OuterRef("pk"), kind=Measurement.Kind.CHALLENGE, finished_at__isnull=False, judgement=None
    )
    listed = Machine.objects.filter(
        online=True, engine_error="", removed_at=None, simulated=False, listing__active=True
    )
    return listed.filter(~Exists(opened), ~Exists(unjudged)).order_by("pk").values_list("pk", flat=True)


def _ask_alone(machine_id: int, now: datetime) -> bool:
    try:
        with transaction.atomic():
            return _ask_if_due(machine_id, now)
    except Exception:
        logger.exception("challenge_not_asked", machine_id=machine_id)
        return False


def _ask_if_due(machine_id: int, now: datetime) -> bool:
    """Decided without a lock: at worst another challenge is asked for than would be a moment later."""
    machine = Machine.objects.get(pk=machine_id)
    listing = Listing.objects.filter(machine=machine, active=True).first()
    past = history_of(machine, now)
    reason = rules.due_reason(
        past,
        hardware=hardware_of(machine),
        listed_at=listing.listed_at if listing else None,
        started_at=machine.session_started_at,
        now=now,
        chance=_chance(machine, past.judged_at),
    )
    if reason:
        challenge_order(machine_id=machine_id, reason=reason, now=now)
    return bool(reason)


def _chance(machine: Machine, judged_at: datetime | None) -> float:
    """0..1, the same at each look until the next challenge, and nobody's to foresee who lacks our key."""
    told = f"challenge:{machine.pk}:{judged_at}"
    digest = hmac.digest(settings.SECRET_KEY.encode(), told.encode(), hashlib.sha256)
    return int.from_bytes(digest[:6], "big") / 2**48


def history_of(machine: Machine, now: datetime) -> rules.History:
    """What is known of the machine's challenges."""
    judged = judged_runs(machine).select_related("measurement")
    latest = judged.last()
    undecided = ChallengeRun.objects.filter(machine=machine, passed=None).order_by("-judged_at").first()
    return rules.History(
        passed=[bool(run.passed) for run in judged.reverse()[:2]][::-1],
        judged_at=latest.judged_at if latest else None,
        undecided_at=undecided.judged_at if undecided else None,
        hardware=latest.measurement.hardware if latest else "",
        anomalies=anomalies_of(machine, now),
    )


def anomalies_of(machine: Machine, now: datetime) -> int:
    """Kinds of findings (those in shadow too), failed challenges and drops of the benchmark in the last 30 days."""
    since = now - rules.ANOMALIES_WITHIN
    kinds = VerificationFinding.objects.filter(machine=machine, at__gt=since).values("code").distinct().count()
    failed = judged_runs(machine).filter(passed=False, judged_at__gt=since).count()
    drops = machine.measurements.filter(is_drop=True, finished_at__gt=since).count()
    return kinds + failed + drops
