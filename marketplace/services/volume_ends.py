"""The ends of volumes that nobody asked for: their lifetime is over, or their owner stays in debt. And warnings."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Q

from billing.selectors import balance_micros, disks_end_at
from billing.services import disks_deleted_tell
from hosting.domain import volumes as rules
from hosting.models import Volume
from marketplace.domain import instance_states as states
from marketplace.domain import notices
from marketplace.domain.lifetimes import AFTER_END, DISK_KEPT, Stage, stage_at
from marketplace.models import Instance
from marketplace.services.notices import account_notice_post
from marketplace.services.volumes import lock_volume, volume_delete_now

logger = structlog.get_logger(__name__)

_SPELLED = "%Y-%m-%d %H:%M UTC"


def volume_lifetimes_sweep(*, now: datetime, machine_id: int | None = None) -> int:
    """Warn of ends to come and delete the volumes whose time is over, as with disks, on one machine or on all; returns
    how many got on."""
    due = Q()
    for stage, offset in AFTER_END.items():
        due |= Q(lifetime_stage__lt=stage, end_at__lte=now - offset)
    found = Volume.objects.filter(due, state__in=rules.LIVE).order_by("machine_id", "pk")
    if machine_id is not None:
        found = found.filter(machine_id=machine_id)
    return sum(_swept(volume, now) for volume in found)


def _swept(volume: Volume, now: datetime) -> bool:
    """One that fails must not keep the others waiting."""
    try:
        return _advance(volume, now)
    except Exception:
        logger.exception("volume_sweep_failed", volume_id=volume.pk)
        return False


@transaction.atomic
def _advance(found: Volume, now: datetime) -> bool:
    volume = lock_volume(found)
    stage = stage_at(volume.end_at, now)
    if volume.state not in rules.LIVE or stage <= volume.lifetime_stage:
        return False
    if stage == Stage.DISK_DELETED and _is_used(volume):
        return False  # whatever uses it ends no later, and is about to be destroyed
    if stage == Stage.DISK_DELETED:
        end = volume.end_at + DISK_KEPT
        message = "Its lifetime is over and it was kept for 48 hours."
        volume_delete_now(volume=volume, actor=None, billed_until=end, reason="expired", message=message, now=now)
    Volume.objects.filter(pk=volume.pk).update(lifetime_stage=stage)
    _warn(volume, stage, now)
    return True


def _warn(volume: Volume, stage: Stage, now: datetime) -> None:
    told = _words(volume, stage)
    if told is None:
        return
    subject, text = told
    account_notice_post(
        owner_id=volume.owner_id,
        kind=notices.VOLUME_ENDS,
        key=f"volume:{volume.pk}:lifetime:{stage.name.lower()}:{volume.end_at.isoformat()}",
        subject=f"The volume {volume.name} {subject}",
        text=text,
        now=now,
        data={"volume_id": volume.pk, "end_at": volume.end_at.isoformat()},
    )


def _words(volume: Volume, stage: Stage) -> tuple[str, str] | None:
    """End of the subject, and text; None where nothing is to be said."""
    ends, deleted = f"{volume.end_at:{_SPELLED}}", f"{volume.end_at + DISK_KEPT:{_SPELLED}}"
    unless = "unless the host extends the lifetime before. Copy out what you need."
    match stage:
        case Stage.ENDS_IN_A_DAY | Stage.ENDS_IN_AN_HOUR:
            text = f"Its lifetime ends at {ends}. It is kept, and billed, until {deleted}, then deleted, {unless}"
            return "reaches the end of its lifetime soon", text
        case Stage.ENDED:
            text = f"Its lifetime ended at {ends}. It is deleted at {deleted} with everything in it, {unless}"
            return "has reached the end of its lifetime", text
        case Stage.DISK_GOES_IN_A_DAY | Stage.DISK_GOES_IN_AN_HOUR:
            text = f"Its lifetime ended at {ends}. It is deleted at {deleted} with everything in it, {unless}"
            return "is deleted soon", text
        case Stage.DISK_DELETED:
            return "is deleted", f"Its lifetime ended at {ends} and it was kept until {deleted}."
    return None


def unpaid_volumes_delete(*, owner_id: int, ended_at: datetime, now: datetime) -> int:
    """Delete the volumes of a client that is in debt too long or too deep; returns how many."""
    found = list(Volume.objects.filter(owner_id=owner_id, state__in=rules.LIVE).order_by("machine_id", "pk"))
    ids = [volume.pk for volume in found]
    return sum(_unpaid_swept(volume, ended_at, ids, now) for volume in found)


def _unpaid_swept(volume: Volume, ended_at: datetime, volume_ids: Sequence[int], now: datetime) -> bool:
    try:
        return _unpaid_delete(volume, ended_at, volume_ids, now)
    except Exception:
        logger.exception("volume_sweep_failed", volume_id=volume.pk)
        return False


@transaction.atomic
def _unpaid_delete(found: Volume, ended_at: datetime, volume_ids: Sequence[int], now: datetime) -> bool:
    """As with instances: not where credit has come meanwhile, or the debt is younger again."""
    volume = lock_volume(found)
    end = disks_end_at(volume.owner, now)
    if volume.state not in rules.LIVE or balance_micros(volume.owner, now) > 0 or (end is not None and end > now):
        return False
    if _is_used(volume):
        return False
    message = "Your credit was not renewed in time."
    volume_delete_now(volume=volume, actor=None, billed_until=ended_at, reason="unpaid", message=message, now=now)
    disks_deleted_tell(owner_id=volume.owner_id, deleted_at=ended_at, instance_ids=(), volume_ids=volume_ids, now=now)
    return True


def _is_used(volume: Volume) -> bool:
    """Whether an instance has it that is not being destroyed: nothing is deleted under one."""
    attached = Instance.objects.filter(task__volume_mounts__volume=volume)
    return attached.exclude(state__in=(states.DESTROYING, states.DESTROYED)).exists()
