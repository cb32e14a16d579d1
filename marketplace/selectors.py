"""Reads of this app."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from billing.selectors import earnings_by_reference
from marketplace.models import ApiKey, Instance, Offer, SshKey, User, Webhook, WebhookDelivery
from marketplace.services.keys import api_key_hash
from marketplace.services.metering import instance_of_reference

if TYPE_CHECKING:
    from typing import TypedDict

    from django_stubs_ext import WithAnnotations

    class MinBid(TypedDict):
        """What ``instances_of`` looks up."""

        min_bid_now_micros: int | None

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
        .prefetch_related("task__port_leases")
        .annotate(min_bid_now_micros=_MIN_BID_NOW)
        .order_by("-pk")
    )


def min_bid_now(instance: Instance) -> int | None:
    """The least bid, in micro-dollars per hour, that one more contract of this size on its machine would run at now.

    None where no bid would, and where the machine is not on the market.
    """
    row = Instance.objects.filter(pk=instance.pk).annotate(min_bid_now_micros=_MIN_BID_NOW)
    return row.values_list("min_bid_now_micros", flat=True).first()


def ssh_keys_of(user: AbstractBaseUser) -> QuerySet[SshKey]:
    """The user's SSH keys, oldest first."""
    return SshKey.objects.filter(user_id=user.pk).order_by("pk")


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


def earnings_by_machine(host: AbstractBaseUser, since: datetime, until: datetime, now: datetime) -> dict[int, int]:
    """The host's part in micro-dollars of what was paid for each of its machines in the period, by machine id."""
    by_instance: dict[int, int] = {}
    for earned in earnings_by_reference(host, since, until, now, prefix="instance:"):
        instance_id = instance_of_reference(earned.reference)
        by_instance[instance_id] = by_instance.get(instance_id, 0) + earned.amount_micros
    found: dict[int, int] = {}
    machines = Instance.objects.filter(pk__in=by_instance).values_list("pk", "machine_id")
    for instance_id, machine_id in machines:
        found[machine_id] = found.get(machine_id, 0) + by_instance[instance_id]
    return found
