"""Clients rent volumes, give them up, and pay for them as for disks."""

import hashlib
import json
from collections.abc import Collection
from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet

from billing.services import meter_close, meter_open, meter_pause, meter_resume
from hosting.domain import volumes as rules
from hosting.errors import HostingError
from hosting.models import Machine, Volume
from hosting.services.volumes import VolumeTerms, volume_create, volume_remove
from hosting.volumes import live_mounts
from marketplace.access import volume_for
from marketplace.domain.offers import storage_micros_per_hour
from marketplace.errors import MarketError
from marketplace.locks import lock_market
from marketplace.models import Offer
from marketplace.services.clearing import machine_clear
from marketplace.services.credit import require_credit
from marketplace.services.offers import disk_given

RETRY_WINDOW = timedelta(minutes=5)
OLD_AGENT = "The agent of this machine is too old to keep volumes: choose another machine."


def volume_rent(
    *,
    client: AbstractBaseUser,
    offer_id: int,
    size_gb: int,
    label: str,
    now: datetime,
    idempotency_key: str = "",
) -> Volume:
    """Rent a volume on the machine of the offer, at its terms for storage, and have it made.

    The same request within ``RETRY_WINDOW``, or with the same key at any time, returns the same volume. Raises
    MarketError: invalid_args (field named), no_such_ask (404 unknown, 410 at other terms by now), own_machine (403),
    no_volumes (409), disk_too_large, label_taken (409), no_credit (402), spend_limit (403).
    """
    refuse_nonsense(size_gb, label)
    machine_id = Offer.objects.filter(pk=offer_id).values_list("machine_id", flat=True).first()
    if machine_id is None:
        raise MarketError("no_such_ask", f"There is no offer {offer_id}.", status=404)
    with transaction.atomic():
        machine = lock_market(machine_id, payer_ids=[client.pk])
        key = request_key(machine_id, size_gb, label, idempotency_key)
        earlier = _earlier_volume(client, key, idempotency_key, now)
        if earlier is not None:
            return earlier
        terms = terms_now(client, machine, Offer.objects.get(pk=offer_id), size_gb, now)
        refuse_label_taken(client, machine, label)
        require_credit(client=client, micros_per_hour=terms.storage_micros_per_hour, now=now)
        volume = volume_make(client=client, machine=machine, label=label, terms=terms, key=key, now=now)
        machine_clear(machine=machine, now=now)
    return volume


def refuse_nonsense(size_gb: int, label: str) -> None:
    """Raises MarketError(invalid_args) naming the field."""
    for field, problem in (("size", rules.size_problem(size_gb)), ("name", rules.label_problem(label))):
        if problem:
            raise MarketError("invalid_args", problem, field=field)


def request_key(machine_id: int, size_gb: int, label: str, idempotency_key: str) -> str:
    """What is the same for a retry, whatever became of the offer meanwhile."""
    return hashlib.sha256(json.dumps([machine_id, size_gb, label, idempotency_key]).encode()).hexdigest()


def _earlier_volume(client: AbstractBaseUser, key: str, idempotency_key: str, now: datetime) -> Volume | None:
    """What the same request made before, unless it was given up since."""
    same = Volume.objects.filter(owner_id=client.pk, request_key=key, state__in=rules.LIVE)
    if not idempotency_key:
        same = same.filter(created_at__gt=now - RETRY_WINDOW)
    return same.select_related("machine").order_by("-pk").first()


def terms_now(client: AbstractBaseUser, machine: Machine, offer: Offer, size_gb: int, now: datetime) -> VolumeTerms:
    """What a volume on the locked machine costs, if the machine still has what the offer says.

    Offers are replaced as GPUs come and go; a quote for storage holds as long as its price and its end do.
    """
    live = Offer.objects.filter(machine=machine, retired_at=None, end_at__gt=now).order_by("-num_gpus").first()
    same = live is not None and (live.storage_micros_per_gb_month, live.end_at) == (
        offer.storage_micros_per_gb_month,
        offer.end_at,
    )
    if live is None or not same:
        message = f"Offer {offer.pk} is not available any more: its terms changed. Search again."
        raise MarketError("no_such_ask", message, status=410)
    if machine.host_id == client.pk:
        raise MarketError("own_machine", "You can't rent your own machine.", status=403)
    if not machine.online:
        message = f"The machine of offer {offer.pk} can't be reached now. Choose another, or try again later."
        raise MarketError("no_such_ask", message, status=410)
    if not machine.keeps_volumes:
        raise MarketError("no_volumes", OLD_AGENT, status=409)
    free_gb = max(0, machine.disk_total_gb - disk_given(machine))
    if size_gb > free_gb:
        message = f"This machine has {free_gb} GB of disk left; you asked for a volume of {size_gb} GB."
        raise MarketError("disk_too_large", message, field="size")
    return VolumeTerms(
        size_gb=size_gb,
        storage_micros_per_gb_month=live.storage_micros_per_gb_month,
        storage_micros_per_hour=storage_micros_per_hour(live.storage_micros_per_gb_month, size_gb),
        end_at=live.end_at,
    )


def refuse_label_taken(client: AbstractBaseUser, machine: Machine, label: str) -> None:
    """Raises MarketError(label_taken, 409)."""
    same = Volume.objects.filter(owner_id=client.pk, machine=machine, label=label).exclude(state=rules.DELETED)
    if label and same.exists():
        message = f"You have a volume {label} on this machine already. Choose another name, or use that one."
        raise MarketError("label_taken", message, field="name", status=409)


def volume_make(
    *, client: AbstractBaseUser, machine: Machine, label: str, terms: VolumeTerms, key: str, now: datetime
) -> Volume:
    """The volume and its meter, which does not run before the volume is there."""
    volume = volume_create(machine=machine, owner=client, label=label, terms=terms, request_key=key, now=now)
    meter_open(
        reference=volume_reference(volume),
        kind="storage",
        payer=volume.owner,
        payee=machine.host,
        rate_micros_per_hour=volume.storage_micros_per_hour,
        now=now,
        running=False,
        earner=f"machine:{machine.pk}",
    )
    return volume


def volume_reference(volume: Volume) -> str:
    """The name of the volume's meter."""
    return f"volume:{volume.pk}:storage"


@transaction.atomic
def volume_delete(*, user: AbstractBaseUser, volume_id: int, now: datetime) -> Volume:
    """Give the volume up: charging ends now, and all that is in it is deleted. Deleting twice is fine.

    Raises MarketError: no_such_volume (404), volume_in_use (409).
    """
    volume = lock_volume(volume_for(user, volume_id))
    if volume.state not in rules.LIVE:
        return volume
    names = [mount.task.label for mount in live_mounts(volume)]
    if names:
        message = (
            f"The volume {volume.name} is attached to {', '.join(names)}. Destroy what uses it first; an instance that "
            "is being destroyed lets go of it within moments."
        )
        raise MarketError("volume_in_use", message, status=409)
    volume_delete_now(volume=volume, actor=user, billed_until=now, reason="client", message="", now=now)
    return volume


def volume_delete_now(
    *, volume: Volume, actor: AbstractBaseUser | None, billed_until: datetime, reason: str, message: str, now: datetime
) -> None:
    """End the contract of a locked volume that is not given up yet. The agent deletes it once no container has it."""
    meter_close(reference=volume_reference(volume), at=billed_until)
    try:
        volume_remove(volume=volume, actor=actor, reason=reason, message=message, now=now)
    except HostingError as error:
        raise MarketError(error.code, error.message, status=error.status) from error


def lock_volume(volume: Volume) -> Volume:
    """The volume as it is, with its machine and all accounts that may be charged locked."""
    machine = lock_market(volume.machine_id, payer_ids=[volume.owner_id])
    locked = Volume.objects.select_related("owner").get(pk=volume.pk)
    locked.machine = machine
    return locked


def volume_time_follows(volume: Volume, now: datetime) -> None:
    """The agent said what became of a volume: charging starts when it is there, and ends when it is lost."""
    if volume.state == rules.READY:
        meter_resume(reference=volume_reference(volume), now=now)
    elif volume.state == rules.FAILED:
        meter_pause(reference=volume_reference(volume), at=now)


def volumes_go_offline(machine: Machine, last_seen_at: datetime) -> None:
    """Nobody reaches the machine: its volumes cost nothing from ``last_seen_at`` on."""
    for volume in _charged(machine):
        meter_pause(reference=volume_reference(volume), at=last_seen_at)


def volumes_come_online(machine: Machine, now: datetime) -> None:
    """What is still there is charged again."""
    for volume in _charged(machine):
        meter_resume(reference=volume_reference(volume), now=now)


def volumes_extend(*, machine: Machine, end_at: datetime) -> Collection[Volume]:
    """Give the machine's volumes that end earlier this later end, at their price; returns those."""
    extended = list(Volume.objects.filter(machine=machine, state__in=rules.LIVE, end_at__lt=end_at))
    Volume.objects.filter(pk__in=[one.pk for one in extended]).update(end_at=end_at, lifetime_stage=0)
    return extended


def _charged(machine: Machine) -> QuerySet[Volume]:
    return Volume.objects.filter(machine=machine, state=rules.READY).order_by("pk")
