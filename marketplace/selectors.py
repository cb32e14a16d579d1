"""Reads of this app."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from hosting.domain.jobs import KEPT_FOR
from hosting.models import KeptLog, Volume
from marketplace.domain.auction import Claim, Kind, quote_for
from marketplace.models import ApiKey, DirtyMark, Instance, Offer, RegistryLogin, SshKey, User, Webhook, WebhookDelivery
from marketplace.services.clearing_sql import MarketFacts, bids_on_their_way, market_facts
from marketplace.services.keys import api_key_hash

if TYPE_CHECKING:
    from typing import TypedDict

    from django_stubs_ext import WithAnnotations

    class MinBid(TypedDict):
        """What ``instances_of`` and ``instances_with_min_bids`` look up."""

        min_bid_now_micros: int | None
        bid_newest_micros: int | None

    InstanceWithMinBid = WithAnnotations[Instance, MinBid]

_MIN_BID_NOW = Subquery(
    Offer.objects.filter(machine=OuterRef("machine"), num_gpus=OuterRef("num_gpus"), retired_at=None).values(
        "min_bid_micros_per_hour"
    )[:1]
)

LAST_USED_RESOLUTION = timedelta(minutes=10)


def instances_of(user: AbstractBaseUser) -> "QuerySet[InstanceWithMinBid]":
    """The user's instances that are not destroyed, newest first, with what their pages show."""
    return (
        Instance.objects.filter(client_id=user.pk)
        .exclude(state="destroyed")
        .select_related("machine", "task", "offer")
        .prefetch_related("task__port_leases", "task__relay_leases", "task__volume_mounts__volume")
        .annotate(min_bid_now_micros=_MIN_BID_NOW, bid_newest_micros=F("bid_micros_per_hour"))
        .order_by("-pk")
    )


def destroyed_with_logs(user: AbstractBaseUser, now: datetime) -> QuerySet[Instance]:
    """The user's instances that are destroyed, and of which a log is kept still; the last ones first."""
    kept = KeptLog.objects.filter(task=OuterRef("task"), expires_at__gt=now)
    gone = Instance.objects.filter(client_id=user.pk, state="destroyed", destroyed_at__gt=now - KEPT_FOR)
    return gone.filter(Exists(kept)).order_by("-destroyed_at")[:20]


def min_bid_now(instance: Instance) -> int | None:
    """The least bid, in micro-dollars per hour, at which this instance would run now; see ``instances_with_min_bids``.

    On demand: at which one more contract of its size would. None where no bid would.
    """
    if instance.bid_micros_per_hour is not None:
        return least_winning_bids([instance]).get(instance.pk)
    row = Instance.objects.filter(pk=instance.pk).annotate(min_bid_now_micros=_MIN_BID_NOW)
    return row.values_list("min_bid_now_micros", flat=True).first()


def instances_with_min_bids(found: "Iterable[InstanceWithMinBid]") -> "list[InstanceWithMinBid]":
    """The instances, where ``min_bid_now_micros`` of interruptible ones is what they themselves would have to bid.

    That can be less than what the machine's offers ask of one more contract, which competes with them too. And where
    ``bid_newest_micros`` is a bid that is still on its way to the auction.
    """
    instances = list(found)
    least, coming = least_winning_bids(instances), newest_bids(instances)
    for instance in instances:
        if instance.bid_micros_per_hour is not None:
            instance.min_bid_now_micros = least.get(instance.pk)
            instance.bid_newest_micros = coming[instance.pk]
    return instances


def newest_bids(instances: Iterable[Instance]) -> dict[int, int]:
    """By id of each interruptible instance, what its client bid last, also where the auction has yet to take it in.

    In micro-dollars per hour for all its GPUs.
    """
    asked = {one.pk: one for one in instances if one.bid_micros_per_hour is not None}
    coming = bids_on_their_way({one.machine_id for one in asked.values()}) if asked else {}
    return {pk: coming.get(pk, one.bid_micros_per_hour or 0) for pk, one in asked.items()}


def contracts_of(user: AbstractBaseUser, ids: Iterable[int] | None, label: str | None) -> list[tuple[int, str]]:
    """Numbers and labels of the user's instances, destroyed ones too, oldest first; None asks for all."""
    found = Instance.objects.filter(client_id=user.pk).order_by("pk")
    if ids is not None:
        found = found.filter(pk__in=list(ids))
    if label is not None:
        found = found.filter(label=label)
    return list(found.values_list("pk", "label"))


def instance_descriptions(user: AbstractBaseUser, ids: Iterable[int]) -> dict[int, str]:
    """What the user's instances with these numbers are, "2x RTX 4090, sweep", by number."""
    found = Instance.objects.filter(client_id=user.pk, pk__in=list(ids)).select_related("machine")
    return {
        instance.pk: ", ".join(filter(None, (f"{instance.num_gpus}x {instance.machine.gpu_name}", instance.label)))
        for instance in found
    }


def volume_descriptions(user: AbstractBaseUser, ids: Iterable[int]) -> dict[int, str]:
    """What the user's volumes with these numbers are, "100 GB, my-data", by number."""
    found = Volume.objects.filter(owner_id=user.pk, pk__in=list(ids))
    return {volume.pk: ", ".join(filter(None, (f"{volume.size_gb} GB", volume.label))) for volume in found}


def active_account(email: str) -> User | None:
    """The account with this address, in whatever case, that may still be used."""
    return User.objects.filter(email=email.lower(), is_active=True).first()


def ssh_keys_of(user: AbstractBaseUser) -> QuerySet[SshKey]:
    """The user's SSH keys, oldest first."""
    return SshKey.objects.filter(user_id=user.pk).order_by("pk")


def registry_logins_of(user: AbstractBaseUser) -> QuerySet[RegistryLogin]:
    """The user's logins to registries, by registry."""
    return RegistryLogin.objects.filter(user_id=user.pk).order_by("registry")


def api_keys_of(user: AbstractBaseUser) -> QuerySet[ApiKey]:
    """The user's API keys that are not revoked, oldest first."""
    return ApiKey.objects.filter(user_id=user.pk, revoked_at=None).order_by("pk")


def webhook_of(user: AbstractBaseUser) -> Webhook | None:
    """The user's webhook, also one that was switched off; None when there is none."""
    return Webhook.objects.filter(user_id=user.pk).exclude(url="").first()


def webhook_deliveries_of(user: AbstractBaseUser) -> QuerySet[WebhookDelivery]:
    """What was or is to be sent to the user's webhook, newest first."""
    return WebhookDelivery.objects.filter(webhook__user_id=user.pk).select_related("notice__instance").order_by("-pk")


def user_by_api_key(raw: str, now: datetime | None = None) -> User | None:
    """The active account a key belongs to; notes the key's use, coarsely, so that reads stay cheap."""
    key = ApiKey.objects.select_related("user").filter(key_hash=api_key_hash(raw), revoked_at=None).first()
    if key is None or not key.user.is_active:
        return None
    moment = now or timezone.now()
    if key.last_used_at is None or moment - key.last_used_at > LAST_USED_RESOLUTION:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=moment)
    return key.user


def offer_counts_by(field: Literal["gpu_name", "country"]) -> list[tuple[str, int]]:
    """Each value that offers on the market have, with how many of them can be rented now, by name."""
    live = Offer.objects.filter(retired_at=None).exclude(**{field: ""})
    counted = live.values_list(field).annotate(rentable=Count("pk", filter=Q(rentable=True))).order_by(field)
    return list(counted)


@dataclass(frozen=True)
class OfferPrices:
    """What an offer costs, in micro-dollars per hour for all its GPUs. ``min_bid``: None where no bid would run."""

    on_demand: int
    min_bid: int | None


def offer_prices(offer_ids: Iterable[int]) -> dict[int, OfferPrices]:
    """Both prices of each offer as they are now, by offer id."""
    rows = Offer.objects.filter(pk__in=list(offer_ids))
    values = rows.values_list("pk", "gpu_micros_per_hour", "min_bid_micros_per_hour")
    return {pk: OfferPrices(on_demand, min_bid) for pk, on_demand, min_bid in values}


def live_offers(slices: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Offer]:
    """The offers on the market of these machines and sizes, by machine id and number of GPUs."""
    wanted = set(slices)
    found = Offer.objects.filter(machine_id__in={machine_id for machine_id, _ in wanted}, retired_at=None)
    by_slice = {(offer.machine_id, offer.num_gpus): offer for offer in found}
    return {key: offer for key, offer in by_slice.items() if key in wanted}


def least_winning_bids(instances: Iterable[Instance]) -> dict[int, int | None]:
    """By id of each interruptible instance, the least bid at which it would run, or go on running, now.

    In micro-dollars per hour for all its GPUs; None where no price would do. Those on machines that can't be reached
    are left out. Nothing is locked: the answer is for showing.
    """
    asked = [instance for instance in instances if instance.bid_micros_per_hour is not None]
    if not asked:
        return {}
    facts = {one.machine_id: one for one in market_facts({instance.machine_id for instance in asked}) if one.able}
    return {
        instance.pk: _least_winning_bid(instance, facts[instance.machine_id])
        for instance in asked
        if instance.machine_id in facts
    }


def _least_winning_bid(instance: Instance, facts: MarketFacts) -> int | None:
    """One that takes no part now is asked about as if it did."""
    idle = Claim(claim_id=instance.pk, kind=Kind.BID, num_gpus=instance.num_gpus, placed_at=instance.created_at)
    own = next((claim for claim in facts.claims if claim.claim_id == instance.pk), idle)
    others = [claim for claim in facts.claims if claim is not own]
    return quote_for(facts.gpus, [*others, own], facts.policy, instance.pk)


def marks_waiting() -> int:
    """How many marks no clearing has taken yet."""
    return DirtyMark.objects.count()
