"""The volumes that a rental asks for: which they are, what they cost, and how they get into the container.

All within the transaction of the rental, under the machine's lock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser

from hosting.domain import volumes as rules
from hosting.models import Machine, Volume
from hosting.services.volumes import VolumeTerms
from marketplace.access import volumes_of
from marketplace.domain.offers import disk_share_gb
from marketplace.domain.rent import RentRequest, VolumeWish
from marketplace.errors import MarketError
from marketplace.models import Offer
from marketplace.services.offers import disk_given
from marketplace.services.volumes import (
    OLD_AGENT,
    refuse_label_taken,
    refuse_nonsense,
    request_key,
    terms_now,
    volume_make,
)

FIELD = "volume_info"


@dataclass(frozen=True)
class Planned:
    """A volume on a path: one that is there, or one that is to be made at these terms."""

    path: str
    volume: Volume | None = None
    label: str = ""
    terms: VolumeTerms | None = None


def volumes_plan(
    client: AbstractBaseUser, machine: Machine, offer: Offer, request: RentRequest, now: datetime
) -> list[Planned]:
    """What the request's volumes are. Nothing is written.

    Raises MarketError: no_such_volume (404), wrong_machine (409), no_volumes (409), wrong_state (409), expired (409),
    disk_too_large, label_taken (409), and what ``terms_now`` raises.
    """
    if request.volumes and not machine.keeps_volumes:
        raise MarketError("no_volumes", OLD_AGENT, field=FIELD, status=409)
    plan = [_planned(client, machine, offer, wish, now) for wish in request.volumes]
    new_gb = sum(one.terms.size_gb for one in plan if one.terms is not None)
    if new_gb:
        _refuse_too_large(machine, offer, request, new_gb)
    return plan


def _refuse_too_large(machine: Machine, offer: Offer, request: RentRequest, new_gb: int) -> None:
    given_gb = disk_given(machine) + new_gb
    most_gb = disk_share_gb(machine.disk_total_gb, given_gb, offer.num_gpus, machine.gpu_count)
    if request.disk_gb > most_gb:
        message = (
            f"With a new volume of {new_gb} GB this machine has {most_gb} GB left for the instance's disk; you asked "
            f"for {request.disk_gb} GB."
        )
        raise MarketError("disk_too_large", message, field=FIELD)


def storage_micros_of(plan: Sequence[Planned]) -> int:
    """What the new ones cost an hour, beside what the client pays already."""
    return sum(one.terms.storage_micros_per_hour for one in plan if one.terms is not None)


def end_of(offer: Offer, plan: Sequence[Planned]) -> datetime:
    """When the instance's lifetime ends: it lives no longer than its volumes."""
    return min([offer.end_at, *(one.volume.end_at for one in plan if one.volume is not None)])


def volumes_take(
    client: AbstractBaseUser, machine: Machine, plan: Sequence[Planned], now: datetime
) -> list[tuple[Volume, str]]:
    """Make those that are to be made; all of them with their paths."""
    return [(one.volume or _made(client, machine, one, now), one.path) for one in plan]


def _made(client: AbstractBaseUser, machine: Machine, one: Planned, now: datetime) -> Volume:
    if one.terms is None:
        raise AssertionError("a volume that is planned is there, or has terms")
    key = request_key(machine.pk, one.terms.size_gb, one.label, f"with an instance at {now.isoformat()}")
    return volume_make(client=client, machine=machine, label=one.label, terms=one.terms, key=key, now=now)


def _planned(client: AbstractBaseUser, machine: Machine, offer: Offer, wish: VolumeWish, now: datetime) -> Planned:
    if wish.new_size_gb is None:
        return Planned(wish.path, volume=_existing(client, machine, wish, now))
    refuse_nonsense(wish.new_size_gb, wish.name)
    refuse_label_taken(client, machine, wish.name)
    quote = offer
    if wish.offer_id is not None:
        quote = Offer.objects.filter(pk=wish.offer_id, machine=machine).first() or _no_such_quote(wish.offer_id)
    return Planned(wish.path, label=wish.name, terms=terms_now(client, machine, quote, wish.new_size_gb, now))


def _no_such_quote(offer_id: int) -> Offer:
    message = f"The volume's offer {offer_id} is not of the machine that you rent. Search volumes with its machine_id."
    raise MarketError("wrong_machine", message, field=FIELD, status=409)


def _existing(client: AbstractBaseUser, machine: Machine, wish: VolumeWish, now: datetime) -> Volume:
    volume = _found(client, machine, wish)
    if volume.machine_id != machine.pk:
        message = (
            f"The volume {volume.name} is on machine {volume.machine_id}, and can be attached there only; this "
            f"offer is of machine {machine.pk}."
        )
        raise MarketError("wrong_machine", message, field=FIELD, status=409)
    if volume.state not in rules.USABLE:
        why = f": {volume.message}" if volume.state == rules.FAILED else ""
        raise MarketError("wrong_state", f"The volume {volume.name} is {volume.state}{why}", field=FIELD, status=409)
    if volume.end_at <= now:
        message = f"The lifetime of the volume {volume.name} is over, so nothing new can use it."
        raise MarketError("expired", message, field=FIELD, status=409)
    return volume


def _found(client: AbstractBaseUser, machine: Machine, wish: VolumeWish) -> Volume:
    number = wish.volume_id if wish.volume_id is not None else rules.number_in(wish.name)
    own = volumes_of(client)
    found = own.filter(pk=number) if number is not None else own.filter(label=wish.name, machine=machine)
    volume = found.first()
    if volume is None:
        called = wish.name or rules.volume_label(number or 0)
        message = f"You have no volume {called} on this machine. Create it first, or let it be created by volume_info."
        raise MarketError("no_such_volume", message, field=FIELD, status=404)
    return volume
