"""What happened around a machine or an account, from all that was written down about it, the latest first."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Q, QuerySet
from django.urls import reverse

from billing.domain.money import exact_dollars
from billing.selectors import movements
from hosting.models import MachineEvent, TaskEvent, VerificationFinding, VolumeEvent
from marketplace.models import AuditEntry, InstanceEvent, Notice, User

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
"""No two different times that the database keeps are closer."""


@dataclass(frozen=True)
class Moment:
    """One thing that happened: ``kind`` is a key of the sources, ``pk`` the row's, ``link`` leads to what it is about,
    or is ""."""

    at: datetime
    kind: str
    pk: int
    what: str
    about: str = ""
    who: str = ""
    text: str = ""
    link: str = ""

    @property
    def place(self) -> "Place":
        return Place(self.at, self.kind, self.pk)


@dataclass(frozen=True, order=True)
class Place:
    """A place in a timeline, between two moments.

    Many things happen at one instant, in one transaction: kind and number of the row say where among them. An instant
    alone is before all of its moments.
    """

    at: datetime
    kind: str = ""
    pk: int = 0

    def earlier(self, kind: str) -> Q:
        """Which rows of the source of this kind come behind the place in a list that has the latest first."""
        if kind < self.kind:
            return Q(at__lte=self.at)
        if kind > self.kind:
            return Q(at__lt=self.at)
        return Q(at__lte=self.at) & (Q(at__lt=self.at) | Q(pk__lt=self.pk))


PAGES_OF_ACCOUNTS = ("marketplace_user_change", "auth_user_password_change")
"""Of the administration, as the audit log calls what was sent there."""
Source = Callable[[int, Place, int], Iterable[Moment]]
"""The latest so many moments of a machine or account before a place."""


def machine_moments(machine_id: int, *, before: Place, kinds: Collection[str] = (), limit: int) -> list[Moment]:
    """The latest ``limit`` moments of a machine before a place, of these kinds or of all."""
    return _latest(MACHINE_SOURCES, machine_id, before, kinds, limit)


def account_moments(user_id: int, *, before: Place, kinds: Collection[str] = (), limit: int) -> list[Moment]:
    """The same of an account: what it rents and hosts, pays and earns, is told, does to its own security, and what
    staff do to it."""
    return _latest(ACCOUNT_SOURCES, user_id, before, kinds, limit)


def cut(moments: list[Moment], size: int) -> tuple[list[Moment], Place | None]:
    """One page of moments, asked for with one more than ``size``, and the place before which the next begins."""
    return moments[:size], moments[size - 1].place if len(moments) > size else None


def _latest(sources: Mapping[str, Source], pk: int, before: Place, kinds: Collection[str], limit: int) -> list[Moment]:
    wanted = [kind for kind in sources if not kinds or kind in kinds]
    found = [moment for kind in wanted for moment in sources[kind](pk, before, limit)]
    return sorted(found, key=lambda moment: moment.place, reverse=True)[:limit]


def _machine_events(rows: QuerySet[MachineEvent], before: Place, limit: int) -> Iterable[Moment]:
    for event in rows.filter(before.earlier("machine")).select_related("actor").order_by("-at", "-pk")[:limit]:
        link = reverse("admin:hosting_machine_change", args=[event.machine_id])
        what, about = event.kind.replace("_", " "), f"Machine {event.machine_id}"
        yield Moment(event.at, "machine", event.pk, what, about, _name(event.actor), event.message, link)


def _instance_events(rows: QuerySet[InstanceEvent], before: Place, limit: int) -> Iterable[Moment]:
    for event in rows.filter(before.earlier("instance")).select_related("actor").order_by("-at", "-pk")[:limit]:
        link = reverse("admin:marketplace_instance_change", args=[event.instance_id])
        what, about = _what(event.kind, event.to_state), f"Instance {event.instance_id}"
        text = event.message or event.reason.replace("_", " ")
        yield Moment(event.at, "instance", event.pk, what, about, _name(event.actor), text, link)


def _volume_events(rows: QuerySet[VolumeEvent], before: Place, limit: int) -> Iterable[Moment]:
    for event in rows.filter(before.earlier("volume")).select_related("actor").order_by("-at", "-pk")[:limit]:
        link = reverse("admin:hosting_volume_change", args=[event.volume_id])
        what, about = _what(event.kind, event.to_state), f"Volume {event.volume_id}"
        text = event.message or event.reason.replace("_", " ")
        yield Moment(event.at, "volume", event.pk, what, about, _name(event.actor), text, link)


def _audit(rows: QuerySet[AuditEntry], before: Place, limit: int) -> Iterable[Moment]:
    for entry in rows.filter(before.earlier("audit")).select_related("actor").order_by("-at", "-pk")[:limit]:
        link = reverse("admin:marketplace_auditentry_change", args=[entry.pk])
        about = f"{entry.object_type} {entry.object_id}".strip()
        yield Moment(entry.at, "audit", entry.pk, entry.action, about, _name(entry.actor), entry.message, link)


def _of_machine(machine_id: int, before: Place, limit: int) -> Iterable[Moment]:
    return _machine_events(MachineEvent.objects.filter(machine_id=machine_id), before, limit)


def _instances_of_machine(machine_id: int, before: Place, limit: int) -> Iterable[Moment]:
    return _instance_events(InstanceEvent.objects.filter(instance__machine_id=machine_id), before, limit)


def _volumes_of_machine(machine_id: int, before: Place, limit: int) -> Iterable[Moment]:
    return _volume_events(VolumeEvent.objects.filter(volume__machine_id=machine_id), before, limit)


def _containers_of_machine(machine_id: int, before: Place, limit: int) -> Iterable[Moment]:
    rows = TaskEvent.objects.filter(before.earlier("container"), task__machine_id=machine_id)
    for event in rows.select_related("task").order_by("-at", "-pk")[:limit]:
        link = reverse("admin:hosting_task_change", args=[event.task_id])
        text = event.message or event.reason.replace("_", " ")
        yield Moment(event.at, "container", event.pk, event.phase, event.task.label, "the agent", text, link)


def _findings_of_machine(machine_id: int, before: Place, limit: int) -> Iterable[Moment]:
    rows = VerificationFinding.objects.filter(before.earlier("verification"), machine_id=machine_id)
    for finding in rows.order_by("-at", "-pk")[:limit]:
        link = reverse("admin:hosting_verificationfinding_change", args=[finding.pk])
        what = f"{finding.code.replace('_', ' ')}{' (on trial)' if finding.shadow else ''}"
        yield Moment(finding.at, "verification", finding.pk, what, "", "the marketplace", finding.evidence, link)


def _audit_of_machine(machine_id: int, before: Place, limit: int) -> Iterable[Moment]:
    by_name = Q(object_type__in=("machine", "hosting_machine_change"), object_id=str(machine_id))
    return _audit(AuditEntry.objects.filter(by_name), before, limit)


def _rentals_of_account(user_id: int, before: Place, limit: int) -> Iterable[Moment]:
    return _instance_events(InstanceEvent.objects.filter(instance__client_id=user_id), before, limit)


def _machines_of_account(user_id: int, before: Place, limit: int) -> Iterable[Moment]:
    return _machine_events(MachineEvent.objects.filter(machine__host_id=user_id), before, limit)


def _volumes_of_account(user_id: int, before: Place, limit: int) -> Iterable[Moment]:
    return _volume_events(VolumeEvent.objects.filter(volume__owner_id=user_id), before, limit)


def _money_of_account(user_id: int, before: Place, limit: int) -> Iterable[Moment]:
    until = before.at - INSTANT if before.kind < "money" else before.at
    after = (before.at, before.pk) if before.kind == "money" else None
    user = User.objects.get(pk=user_id)
    for movement in movements(user, BEGINNING, until, limit=limit, after=after, latest_first=True):
        amount, what = f"${exact_dollars(movement.amount_micros)}", movement.kind.replace("_", " ")
        yield Moment(movement.occurred_at, "money", movement.posting_id, what, amount, "", movement.memo)


def _notices_of_account(user_id: int, before: Place, limit: int) -> Iterable[Moment]:
    rows = Notice.objects.filter(before.earlier("mail"), client_id=user_id)
    for notice in rows.order_by("-at", "-pk")[:limit]:
        link = reverse("admin:marketplace_notice_change", args=[notice.pk])
        about = f"Instance {notice.instance_id}" if notice.instance_id else ""
        yield Moment(notice.at, "mail", notice.pk, notice.subject, about, "the marketplace", notice.text, link)


def _audit_of_account(user_id: int, before: Place, limit: int) -> Iterable[Moment]:
    own = Q(account_id=user_id) | Q(actor_id=user_id) | Q(behind_id=user_id)
    own |= Q(object_type__in=PAGES_OF_ACCOUNTS, object_id=str(user_id))
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
