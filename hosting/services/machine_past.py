"""Hardware that comes back as another machine, or at another host's: what speaks against it comes along.

GPUs are known again by their UUIDs. Only what is bad is carried over: a good name belongs to a whole machine, which
can't be told from a few of its GPUs, and who buys a GPU buys no name.
"""

from collections.abc import Collection
from datetime import datetime

from hosting import hooks
from hosting.domain.reliability import NO_HISTORY, inherited, reliability_of, tracks_kept
from hosting.domain.verification import CASES_UNDECIDED
from hosting.models import Machine, MachineEvent, VerificationCase
from hosting.records import standing_at
from hosting.services.events import machine_event
from hosting.services.suspension import machine_suspend


def past_follow(*, machine: Machine, gpu_uuids: Collection[str], now: datetime) -> None:
    """Suspend the locked machine if a GPU that has come to it was in one that is suspended, itself or with its host, or
    whose verification is not decided, until staff have looked; deverify it if that one was."""
    earlier = _earlier(machine, gpu_uuids)
    _deverify(machine, earlier, now)
    if machine.suspended_at is not None:
        return
    reason = _open_question(machine, earlier)
    if reason:
        now_suspended = machine_suspend(machine_id=machine.pk, actor=None, reason=reason, now=now)
        machine.suspended_at, machine.suspended_reason = now_suspended.suspended_at, reason


def _earlier(machine: Machine, gpu_uuids: Collection[str]) -> list[Machine]:
    """Other machines that have or had one of these GPUs."""
    if not gpu_uuids:
        return []
    others = Machine.objects.filter(gpus__uuid__in=gpu_uuids).exclude(pk=machine.pk)
    return list(others.distinct().order_by("pk"))


def _deverify(machine: Machine, earlier: list[Machine], now: datetime) -> None:
    """Once for each machine of the past: what staff have cleared stays cleared when a GPU is away for a moment."""
    told = MachineEvent.objects.filter(machine=machine, kind="deverified").values_list("details__earlier", flat=True)
    found_out = [one.pk for one in earlier if one.verification == "deverified" and one.pk not in set(told)]
    if not found_out or machine.verification == "deverified":
        return
    machine.verification = "deverified"
    machine.save(update_fields=["verification"])
    message = f"A GPU of it was in machine {found_out[0]}, which was deverified."
    machine_event(machine, "deverified", now=now, message=message, earlier=found_out[0])


def _open_question(machine: Machine, earlier: list[Machine]) -> str:
    """Why staff have to look; "" where they have looked since, and let the machine back on the market."""
    looked = MachineEvent.objects.filter(machine=machine, kind="restored").order_by("-at").first()
    cases = VerificationCase.objects.filter(machine__in=earlier, state__in=CASES_UNDECIDED)
    opened = dict(cases.values_list("machine_id", "opened_at"))
    for one in earlier:
        suspended_at = one.suspended_at or hooks.market().account_suspended_at(one.host_id)
        for since, what in ((suspended_at, "is suspended"), (opened.get(one.pk), "failed its verification")):
            if since is not None and (looked is None or since > looked.at):
                return f"A GPU of it was in machine {one.pk}, which {what}. We look at it before anybody rents it."
    return ""


def reliability_inherit(*, machine: Machine, gpu_uuids: Collection[str], now: datetime) -> None:
    """Let the machine, which was just registered, begin where the least reliable of those that had its GPUs came to,
    if that is below where machines without a past begin."""
    pasts = [(one, inherited(standing_at(one, one.removed_at or now), now)) for one in _earlier(machine, gpu_uuids)]
    found = [(reliability_of(standing), one.pk, standing) for one, standing in pasts]
    if not found:
        return
    figures, earlier_id, standing = min(found, key=lambda each: (each[0].lower, each[1]))
    if figures.lower >= NO_HISTORY.lower:
        return
    machine.inherited_tracks = tracks_kept(standing)
    machine.reliability, machine.reliability_lower = figures.shown, figures.lower
    machine.save(update_fields=["inherited_tracks", "reliability", "reliability_lower"])
    message = f"It has GPUs of machine {earlier_id}, and begins with the reliability which that one had."
    machine_event(machine, "reliability_inherited", now=now, message=message, earlier=earlier_id)
