"""No rental without credit, and none beyond it."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Coalesce

from billing.domain.money import format_dollars
from billing.selectors import balance_micros, client_spend_limit_micros, exhausted_payers, zero_at
from billing.services import accounts_lock, credit_used_up_tell
from hosting.domain.volumes import LIVE
from hosting.models import Volume
from marketplace.domain import instance_states as states
from marketplace.errors import MarketError
from marketplace.locks import lock_instance
from marketplace.models import Instance, User
from marketplace.services.clearing import machine_clear
from marketplace.services.stopping import instance_stop_now, swept

HOURS_OF_CREDIT_NEEDED = 1


def require_credit(*, client: AbstractBaseUser, micros_per_hour: int, now: datetime) -> None:
    """Refuse when the client can't pay an hour of this and of all it rents already, or may not spend as much.

    Locks the client's ledger account, so that rentals on two machines at once can't count on the same credit. Raises
    MarketError: no_credit (402), spend_limit (403).
    """
    accounts_lock(payer_ids=[client.pk])
    balance = balance_micros(client, now)
    together = micros_per_hour + committed_micros_per_hour(client)
    needed = together * HOURS_OF_CREDIT_NEEDED
    if balance <= 0 or balance < needed:
        raise MarketError(
            "no_credit",
            f"Your credit is {format_dollars(balance)}; this needs at least {format_dollars(needed)}, an hour of it "
            "and of what you rent already. Add credit first.",
            status=402,
        )
    most = client_spend_limit_micros(client)
    if together > most:
        raise spend_limit_reached(together, most)


def spend_limit_reached(wanted_micros_per_hour: int, most_micros_per_hour: int) -> MarketError:
    """The refusal of what would make a client spend more than it may."""
    return MarketError(
        "spend_limit",
        f"Your account may spend ${format_dollars(most_micros_per_hour)} an hour, and with this it would spend "
        f"${format_dollars(wanted_micros_per_hour)}. The limit grows with what you use and pay for; staff can raise it "
        "at once.",
        status=403,
    )


def committed_micros_per_hour(client: AbstractBaseUser) -> int:
    """What the client's instances cost an hour once all that should run do, and its volumes."""
    live = Instance.objects.filter(client_id=client.pk).exclude(state__in=(states.DESTROYING, states.DESTROYED))
    gpu_rate = Coalesce("bid_micros_per_hour", "gpu_micros_per_hour")
    rates = live.values_list("wants_running", gpu_rate, "storage_micros_per_hour")
    volumes = Volume.objects.filter(owner_id=client.pk, state__in=LIVE).aggregate(rate=Sum("storage_micros_per_hour"))
    instances: int = sum(storage + (gpu if wants_running else 0) for wants_running, gpu, storage in rates)
    return instances + int(volumes["rate"] or 0)


def stop_exhausted(*, now: datetime) -> int:
    """Stop everything that runs or waits for clients whose credit is used up; returns how many were stopped.

    The GPU meter ends at the instant the credit did, however late this sweep comes.
    """
    active = Instance.objects.filter(client_id__in=exhausted_payers(now), state__in=states.CAN_STOP)
    rows = active.order_by("machine_id", "pk").values_list("pk", "client_id")
    ends = {client.pk: zero_at(client) or now for client in User.objects.filter(pk__in={row[1] for row in rows})}
    return sum(
        swept(_stop_for_credit, instance_id=instance_id, spent_at=ends[client_id], now=now)
        for instance_id, client_id in rows
    )


@transaction.atomic
def _stop_for_credit(instance_id: int, spent_at: datetime, now: datetime) -> bool:
    instance = lock_instance(instance_id)
    if instance.state not in states.CAN_STOP or balance_micros(instance.client, now) > 0:
        return False
    instance_stop_now(
        instance=instance,
        actor=None,
        billed_until=spent_at,
        now=now,
        reason="no_credit",
        message="Stopped because your credit is used up. The disk is kept for a while; add credit and start it again.",
    )
    credit_used_up_tell(owner_id=instance.client_id, used_up_at=spent_at, now=now)
    machine_clear(machine=instance.machine, now=now)
    return True
