"""No rental without credit, and none beyond it."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing.domain.money import format_dollars
from billing.selectors import balance_micros, exhausted_payers, zero_at
from marketplace.domain import instance_states as states
from marketplace.errors import MarketError
from marketplace.locks import lock_instance
from marketplace.models import Instance, User
from marketplace.services.stopping import instance_stop_now

HOURS_OF_CREDIT_NEEDED = 1


def require_credit(*, client: AbstractBaseUser, micros_per_hour: int, now: datetime) -> None:
    """Refuse when the client can't pay an hour at this rate. Raises MarketError(no_credit, 402)."""
    balance = balance_micros(client, now)
    needed = micros_per_hour * HOURS_OF_CREDIT_NEEDED
    if balance <= 0 or balance < needed:
        raise MarketError(
            "no_credit",
            f"Your credit is {format_dollars(balance)}; this needs at least {format_dollars(needed)}, one hour of it. "
            "Add credit first.",
            status=402,
        )


def stop_exhausted(*, now: datetime) -> int:
    """Stop everything that runs or waits for clients whose credit is used up; returns how many were stopped.

    The GPU meter ends at the instant the credit did, however late this sweep comes.
    """
    active = Instance.objects.filter(client_id__in=exhausted_payers(now), state__in=states.CAN_STOP)
    rows = active.order_by("machine_id", "pk").values_list("pk", "client_id")
    ends = {client.pk: zero_at(client) or now for client in User.objects.filter(pk__in={row[1] for row in rows})}
    return sum(_stop_for_credit(instance_id, ends[client_id], now) for instance_id, client_id in rows)


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
        message="Stopped because your credit is used up. The disk is kept; add credit and start it again.",
    )
    return True
