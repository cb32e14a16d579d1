"""What happened around a machine or an account, from all that was written down about it, the latest first."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from django.db.models import Q, QuerySet
from django.urls import reverse

from billing.domain.money import exact_dollars
from billing.selectors import movements
from hosting.models import MachineEvent, TaskEvent, VerificationFinding, VolumeEvent
from marketplace.models import AuditEntry, InstanceEvent, Notice, User

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Moment:
    """One thing that happened: ``kind`` is a key of the sources, ``link`` leads to what it is about, or is ""."""

    at: datetime
    kind: str
    what: str
    about: str = ""
    who: str = ""
    text: str = ""
    link: str = ""


Source = Callable[[int, datetime, int], Iterable[Moment]]
"""The latest so many moments of a machine or account before an instant."""


def machine_moments(machine_id: int, *, before: datetime, kinds: Collection[str] = (), limit: int) -> list[Moment]:
    """The latest ``limit`` moments of a machine before an instant, of these kinds or of all."""
    return _latest(MACHINE_SOURCES, machine_id, before, kinds, limit)


def account_moments(user_id: int, *, before: datetime, kinds: Collection[str] = (), limit: int) -> list[Moment]:
    """The same of an account: what it rents and hosts, pays and earns, is told, and does to its own security."""
    return _latest(ACCOUNT_SOURCES, user_id, before, kinds, limit)


def cut(moments: list[Moment], size: int) -> tuple[list[Moment], datetime | None]:
    """One page of moments, asked for with one more than ``size``, and the instant before which the next begins.

    Many things happen at one instant, in one transaction: those that are cut in the middle all go to the next page,
    unless the page has nothing else.
    """
    if len(moments) <= size:
        return moments, None
    last = moments[-1].at
    whole = [moment for moment in moments if moment.at > last]
    return (whole, last + timedelta(microseconds=1)) if whole else (moments, last)


def _latest(
    sources: Mapping[str, Source], pk: int, before: datetime, kinds: Collection[str], limit: int
) -> list[Moment]:
    wanted = [kind for kind in sources if not kinds or kind in kinds]
    found = [moment for kind in wanted for moment in sources[kind](pk, before, limit)]
    return sorted(found, key=lambda moment: moment.at, reverse=True)[:limit]


def _machine_events(rows: QuerySet[MachineEvent], before: datetime, limit: int) -> Iterable[Moment]:
    for event in rows.filter(at__lt=before).select_related("actor").order_by("-at", "-pk")[:limit]:
        link = reverse("admin:hosting_machine_change", args=[event.machine_id])
        what = event.kind.replace("_", " ")
        yield Moment(event.at, "machine", what, f"Machine {event.machine_id}", _name(event.actor), event.message, link)


def _instance_events(rows: QuerySet[InstanceEvent], before: datetime, limit: int) -> Iterable[Moment]:
    for event in rows.filter(at__lt=before).select_related("actor").order_by("-at", "-pk")[:limit]:
        link = reverse("admin:marketplace_instance_change", args=[event.instance_id])
        what = _what(event.kind, event.to_state)
        text = event.message or event.reason.replace("_", " ")
        yield Moment(event.at, "instance", what, f"Instance {event.instance_id}", _name(event.actor), text, link)


def _volume_events(rows: QuerySet[VolumeEvent], before: datetime, limit: int) -> Iterable[Moment]:
    for event in rows.filter(at__lt=before).select_related("actor").order_by("-at", "-pk")[:limit]:
        link = reverse("admin:hosting_volume_change", args=[event.volume_id])
        text = event.message or event.reason.replace("_", " ")
        what = _what(event.kind, event.to_state)
        yield Moment(event.at, "volume", what, f"Volume {event.volume_id}", _name(event.actor), text, link)


def _audit(rows: QuerySet[AuditEntry], before: datetime, limit: int) -> Iterable[Moment]:
    for entry in rows.filter(at__lt=before).select_related("actor").order_by("-at", "-pk")[:limit]:
        link = reverse("admin:marketplace_auditentry_change", args=[entry.pk])
        about = f"{entry.object_type} {entry.object_id}".strip()
        yield Moment(entry.at, "audit", entry.action, about, _name(entry.actor), entry.message, link)


def _of_machine(machine_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    return _machine_events(MachineEvent.objects.filter(machine_id=machine_id), before, limit)


def _instances_of_machine(machine_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    return _instance_events(InstanceEvent.objects.filter(instance__machine_id=machine_id), before, limit)


def _volumes_of_machine(machine_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    return _volume_events(VolumeEvent.objects.filter(volume__machine_id=machine_id), before, limit)


def _containers_of_machine(machine_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    rows = TaskEvent.objects.filter(task__machine_id=machine_id, at__lt=before).select_related("task")
    for event in rows.order_by("-at", "-pk")[:limit]:
        link = reverse("admin:hosting_task_change", args=[event.task_id])
        text = event.message or event.reason.replace("_", " ")
        yield Moment(event.at, "container", event.phase, event.task.label, "the agent", text, link)


def _findings_of_machine(machine_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    rows = VerificationFinding.objects.filter(machine_id=machine_id, at__lt=before)
    for finding in rows.order_by("-at", "-pk")[:limit]:
        link = reverse("admin:hosting_verificationfinding_change", args=[finding.pk])
        what = f"{finding.code.replace('_', ' ')}{' (on trial)' if finding.shadow else ''}"
        yield Moment(finding.at, "verification", what, "", "the marketplace", finding.evidence, link)


def _audit_of_machine(machine_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    by_name = Q(object_type__in=("machine", "hosting_machine_change"), object_id=str(machine_id))
    return _audit(AuditEntry.objects.filter(by_name), before, limit)


def _rentals_of_account(user_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    return _instance_events(InstanceEvent.objects.filter(instance__client_id=user_id), before, limit)


def _machines_of_account(user_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    return _machine_events(MachineEvent.objects.filter(machine__host_id=user_id), before, limit)


def _volumes_of_account(user_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    return _volume_events(VolumeEvent.objects.filter(volume__owner_id=user_id), before, limit)


def _money_of_account(user_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    user = User.objects.get(pk=user_id)
    for movement in islice(movements(user, BEGINNING, before, limit=limit, latest_first=True), limit):
        if movement.occurred_at < before:
            amount = f"${exact_dollars(movement.amount_micros)}"
            yield Moment(movement.occurred_at, "money", movement.kind.replace("_", " "), amount, "", movement.memo)


def _notices_of_account(user_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    for notice in Notice.objects.filter(client_id=user_id, at__lt=before).order_by("-at", "-pk")[:limit]:
        link = reverse("admin:marketplace_notice_change", args=[notice.pk])
        about = f"Instance {notice.instance_id}" if notice.instance_id else ""
        yield Moment(notice.at, "mail", notice.subject, about, "the marketplace", notice.text, link)


def _audit_of_account(user_id: int, before: datetime, limit: int) -> Iterable[Moment]:
    own = Q(account_id=user_id) | Q(actor_id=user_id) | Q(behind_id=user_id)
    return _audit(AuditEntry.objects.filter(own), before, limit)


def _what(kind: str, to_state: str) -> str:
    return to_state if kind == "state" else kind.replace("_", " ")


def _name(actor: object) -> str:
    return str(actor) if actor is not None else "the marketplace"


MACHINE_SOURCES: Mapping[str, Source] = {
    "machine": _of_machine,
    "instance": _instances_of_machine,
    "container": _containers_of_machine,
    "volume": _volumes_of_machine,
    "verification": _findings_of_machine,
    "audit": _audit_of_machine,
}
ACCOUNT_SOURCES: Mapping[str, Source] = {
    "instance": _rentals_of_account,
    "machine": _machines_of_account,
    "volume": _volumes_of_account,
    "money": _money_of_account,
    "mail": _notices_of_account,
    "audit": _audit_of_account,
}
