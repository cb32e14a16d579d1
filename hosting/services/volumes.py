"""Desired state of volumes, and what agents report of them. The machine's row is locked by the caller throughout."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser

from agent.volume_protocol import ObservedVolume, VolumeState
from hosting import hooks
from hosting.domain import volumes as rules
from hosting.domain.texts import clean
from hosting.errors import HostingError
from hosting.models import Machine, Task, Volume, VolumeEvent, VolumeMount
from hosting.services.tasks import desired_changed

MESSAGE_CHARS = 500
LARGEST_INT = 2**31 - 1
LOST = "The volume was deleted on the host by something other than the marketplace, and its data with it."


@dataclass(frozen=True, kw_only=True)
class VolumeTerms:
    """What is agreed on: size, prices in micro-dollars, and the end of the lifetime."""

    size_gb: int
    storage_micros_per_gb_month: int
    storage_micros_per_hour: int
    end_at: datetime


def volume_create(
    *,
    machine: Machine,
    owner: AbstractBaseUser,
    label: str,
    terms: VolumeTerms,
    request_key: str,
    now: datetime,
) -> Volume:
    """A volume that the agent is to make."""
    volume = Volume.objects.create(
        machine=machine,
        owner_id=owner.pk,
        label=label,
        size_gb=terms.size_gb,
        storage_micros_per_gb_month=terms.storage_micros_per_gb_month,
        storage_micros_per_hour=terms.storage_micros_per_hour,
        end_at=terms.end_at,
        request_key=request_key,
        state=rules.CREATING,
        state_since=now,
        created_at=now,
    )
    volume_event(volume, "rented", now=now, actor=owner, to_state=rules.CREATING)
    desired_changed(machine)
    return volume


def volume_remove(*, volume: Volume, actor: AbstractBaseUser | None, reason: str, message: str, now: datetime) -> None:
    """Ask the agent to delete it with all that is in it. Raises HostingError(wrong_state, 409)."""
    volume_transition(volume=volume, to=rules.DELETING, now=now, actor=actor, reason=reason, message=message)
    desired_changed(volume.machine)


def volumes_attach(*, task: Task, mounts: Iterable[tuple[Volume, str]]) -> None:
    """The task's container has these volumes, each on a path."""
    VolumeMount.objects.bulk_create([VolumeMount(task=task, volume=volume, path=path) for volume, path in mounts])


def volume_transition(
    *,
    volume: Volume,
    to: str,
    now: datetime,
    actor: AbstractBaseUser | None = None,
    reason: str = "",
    message: str = "",
) -> None:
    """Move the volume from the state it is in to ``to`` and record who did it and why, in the caller's transaction.

    The UPDATE is conditional on the old state. Raises HostingError(wrong_state, 409).
    """
    old = volume.state
    same = Volume.objects.filter(pk=volume.pk, state=old)
    facts = {"state": to, "state_since": now, "reason": reason, "message": message}
    if to == rules.READY and volume.ready_at is None:
        facts["ready_at"] = now
    if to == rules.DELETED:
        facts["deleted_at"] = now
    if not rules.may_become(old, to) or not same.update(**facts):
        raise HostingError("wrong_state", f"The volume {volume} is {old}; it can't become {to}.", status=409)
    for name, value in facts.items():
        setattr(volume, name, value)
    volume_event(volume, "state", now=now, actor=actor, from_state=old, to_state=to, reason=reason, message=message)


def volume_event(
    volume: Volume,
    kind: str,
    *,
    now: datetime,
    actor: AbstractBaseUser | None = None,
    from_state: str = "",
    to_state: str = "",
    reason: str = "",
    message: str = "",
) -> None:
    """Append to the volume's history."""
    VolumeEvent.objects.create(
        volume=volume,
        at=now,
        kind=kind,
        actor_id=actor.pk if actor else None,
        from_state=from_state,
        to_state=to_state,
        reason=reason,
        message=message,
    )


@dataclass(frozen=True)
class VolumeNews:
    """A volume that is to become ``to``, and what the agent said."""

    volume: Volume
    to: str
    observed: ObservedVolume


def volumes_news(machine: Machine, reports: Sequence[ObservedVolume] | None) -> list[VolumeNews]:
    """What a report changes of the locked machine's volumes; use that was measured is stored at once."""
    by_id = {one.volume_id: one for one in reports or () if 0 < one.volume_id < 2**63}
    rows = Volume.objects.filter(machine=machine, pk__in=by_id).exclude(state=rules.DELETED).order_by("pk")
    news = []
    for volume in rows:
        volume.machine = machine
        observed = by_id[volume.pk]
        _store_use(volume, observed)
        to = _next_state(volume.state, observed.state)
        if to is not None:
            news.append(VolumeNews(volume, to, observed))
    return news


def volumes_observe(*, news: Iterable[VolumeNews], now: datetime) -> bool:
    """Carry out what a report changes, and tell the market; whether disk became free."""
    freed = False
    for item in news:
        message = LOST if item.observed.state == "missing" else clean(item.observed.message, MESSAGE_CHARS)
        failed = item.to == rules.FAILED
        reason = ("volume_lost" if item.observed.state == "missing" else "engine_error") if failed else ""
        volume_transition(volume=item.volume, to=item.to, now=now, reason=reason, message=message if failed else "")
        hooks.market().volume_observed(item.volume, now)
        freed |= item.to == rules.DELETED
    return freed


def _next_state(state: str, observed: VolumeState) -> str | None:
    """What becomes of a volume in this state that is observed so; None where nothing does."""
    if state == rules.DELETING:
        return rules.DELETED if observed == "removed" else None
    to = {"present": rules.READY, "missing": rules.FAILED, "failed": rules.FAILED}.get(observed)
    return to if to is not None and rules.may_become(state, to) else None


def _store_use(volume: Volume, observed: ObservedVolume) -> None:
    if observed.used_mb is not None and observed.used_mb != volume.used_mb:
        volume.used_mb = min(max(observed.used_mb, 0), LARGEST_INT)
        Volume.objects.filter(pk=volume.pk).update(used_mb=volume.used_mb)
