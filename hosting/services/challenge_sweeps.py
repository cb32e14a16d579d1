"""Finds machines that are due for a challenge."""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Aggregate, Count, Exists, Max, OuterRef, Q, QuerySet

from hosting.access import lock_own_machine
from hosting.domain import measuring
from hosting.domain import verification as rules
from hosting.domain.challenge_plans import can_be_challenged
from hosting.errors import HostingError
from hosting.models import ChallengeRun, Machine, Measurement, VerificationCase, VerificationFinding
from hosting.selectors import dlperf_image, specified_hardware
from hosting.services.challenge_questions import challenged_hardware
from hosting.services.measuring import challenge_order

logger = structlog.get_logger(__name__)


BATCH_MACHINES = 500


def challenges_ask_due(*, now: datetime) -> int:
    """Ask for a challenge of every machine on the market that is due for one; returns of how many.

    Costs six queries for a batch of machines of which none is due. Each that is due in a transaction of its own: one
    that fails is logged and holds up no other. A challenge waits until nobody uses its machine. Machines with simulated
    GPUs claim nothing that could be verified.
    """
    if not settings.DLPERF_IMAGE:
        return 0
    ids = list(_candidates().values_list("pk", flat=True))
    batches = (ids[start : start + BATCH_MACHINES] for start in range(0, len(ids), BATCH_MACHINES))
    return sum(_ask_alone(pk, reason, now) for batch in batches for pk, reason in _due(batch, now))


def _candidates() -> QuerySet[Machine]:
    opened = Measurement.objects.filter(
        machine=OuterRef("pk"), kind=Measurement.Kind.CHALLENGE, state__in=measuring.OPEN
    ).exclude(reason=Measurement.Reason.HOST)
    unjudged = Measurement.objects.filter(
        machine=OuterRef("pk"), kind=Measurement.Kind.CHALLENGE, finished_at__isnull=False, judgement=None
    )
    listed = Machine.objects.filter(
        online=True, engine_error="", removed_at=None, simulated=False, listing__active=True
    )
    return listed.filter(~Exists(opened), ~Exists(unjudged)).order_by("pk")


def _due(machine_ids: Sequence[int], now: datetime) -> list[tuple[int, str]]:
    """Which of these machines are due, and why. Decided without a lock: at worst another challenge is asked for than
    would be a moment later."""
    machines = Machine.objects.filter(pk__in=machine_ids).select_related("listing").prefetch_related("gpus")
    histories = histories_of(machine_ids, now)
    reasons = [(machine.pk, _reason(machine, histories[machine.pk], now)) for machine in machines.order_by("pk")]
    return [(pk, reason) for pk, reason in reasons if reason]


def _require_pause(machine: Machine, now: datetime) -> None:
    """Each answer costs us a second of computing, for nothing but the host's knowledge."""
    lately = Measurement.objects.filter(
        machine=machine, kind=Measurement.Kind.CHALLENGE, reason=Measurement.Reason.HOST
    )
    if lately.exclude(state__in=measuring.OPEN).filter(asked_at__gt=now - rules.HOSTS_PAUSE).exists():
        minutes = rules.HOSTS_PAUSE.seconds // 60
        message = f"You can challenge a machine once in {minutes} minutes. What the rule asks for comes by itself."
        raise HostingError("too_soon", message, status=429)


@transaction.atomic
def challenge_ask(*, machine_id: int, host: AbstractBaseUser, now: datetime) -> Measurement:
    """Challenge the host's machine as soon as nobody uses it. Asking again while that is open returns the same.

    Where the rule wants one anyway, only not so soon after one that came to nothing, it is that one. Else it shows the
    host how its machine does, and counts for nothing: the host has chosen the moment.

    Raises HostingError: no_such_machine (404), no_benchmark (409) where this marketplace has no program for it,
    too_soon (429).
    """
    machine = lock_own_machine(machine_id, host)
    past = replace(histories_of([machine.pk], now)[machine.pk], undecided_at=None)
    is_on_market = hasattr(machine, "listing") and machine.listing.active and not machine.simulated
    due = _reason(machine, past, now) if is_on_market else ""
    reason = Measurement.Reason.HOST if due in ("", Measurement.Reason.DAILY) else due
    if reason == Measurement.Reason.HOST:
        _require_pause(machine, now)
    return challenge_order(machine_id=machine_id, reason=reason, now=now, actor=host)


def _reason(machine: Machine, past: rules.History, now: datetime) -> str:
    if not dlperf_image(machine) or not can_be_challenged(specified_hardware(machine)):
        return ""
    return rules.due_reason(
        past,
        hardware=challenged_hardware(machine),
        listed_at=machine.listing.listed_at,
        started_at=machine.session_started_at,
        now=now,
        chance=_chance(machine, past.judged_at),
    )


def _ask_alone(machine_id: int, reason: str, now: datetime) -> bool:
    try:
        challenge_order(machine_id=machine_id, reason=reason, now=now)
    except Exception:
        logger.exception("challenge_not_asked", machine_id=machine_id)
        return False
    return True


def _chance(machine: Machine, judged_at: datetime | None) -> float:
    """0..1, the same at each look until the next challenge, and nobody's to foresee who lacks our key."""
    told = f"challenge:{machine.pk}:{judged_at}"
    digest = hmac.digest(settings.SECRET_KEY.encode(), told.encode(), hashlib.sha256)
    return int.from_bytes(digest[:6], "big") / 2**48


def histories_of(machine_ids: Collection[int], now: datetime) -> dict[int, rules.History]:
    """What is known of these machines' challenges, in four queries for all of them.

    Of the last 30 days, those of the anomalies: a machine not judged for so long is due whatever there was before.
    """
    since = now - rules.ANOMALIES_WITHIN
    judged, undecided = _runs(machine_ids, since)
    findings = VerificationFinding.objects.filter(machine__in=machine_ids, at__gt=since)
    kinds = _by_machine(findings, Count("code", distinct=True))
    odd = Q(is_drop=True) | Q(is_implausible=True)
    drops = _by_machine(Measurement.objects.filter(odd, machine__in=machine_ids, finished_at__gt=since), Count("pk"))
    return {
        pk: rules.History(
            passed=[bool(run.passed) for run in judged[pk][-2:]],
            judged_at=judged[pk][-1].judged_at if judged[pk] else None,
            undecided_at=undecided.get(pk),
            hardware=judged[pk][-1].measurement.parameters.get("hardware", "") if judged[pk] else "",
            anomalies=kinds.get(pk, 0) + drops.get(pk, 0) + sum(not run.passed for run in judged[pk]),
        )
        for pk in machine_ids
    }


def _runs(
    machine_ids: Collection[int], since: datetime
) -> tuple[Mapping[int, list[ChallengeRun]], Mapping[int, datetime]]:
    """By machine, oldest first: those by rule that were passed or failed since the last case that was overturned, and
    when the latest was judged that came to nothing."""
    cases = VerificationCase.objects.filter(machine__in=machine_ids, state=rules.CASE_OVERTURNED)
    overturned = _by_machine(cases, Max("decided_at"))
    judged: dict[int, list[ChallengeRun]] = defaultdict(list)
    undecided: dict[int, datetime] = {}
    runs = ChallengeRun.objects.filter(machine__in=machine_ids, judged_at__gt=since).select_related("measurement")
    runs = runs.exclude(measurement__reason=Measurement.Reason.HOST)
    for run in runs.order_by("judged_at", "pk"):
        if run.passed is None:
            undecided[run.machine_id] = run.judged_at
        elif run.machine_id not in overturned or run.judged_at > overturned[run.machine_id]:
            judged[run.machine_id].append(run)
    return judged, undecided


def _by_machine(rows: QuerySet[Any], figure: Aggregate) -> dict[int, Any]:
    return dict(rows.order_by().values("machine").annotate(figure=figure).values_list("machine", "figure"))
