"""Staff suspend an account, with effect at once, and let it back.

The account's row says that it is suspended. That alone keeps it out of pages and API; what it has running is brought to
an end by ``suspensions_enforce``, at once after the commit and again by a sweeper, which also finds what was begun at
the same moment.
"""

from datetime import datetime
from functools import partial

import structlog
from django.db import transaction
from django.db.models import QuerySet

from billing.services import (
    auto_billing_suspend,
    payouts_hold_all_by_rule,
    payouts_hold_by_rule,
    payouts_release_by_rule,
)
from hosting.locks import lock_machine
from hosting.models import Machine
from hosting.services.suspension import machine_restore, machine_suspend
from marketplace.domain import instance_states as states
from marketplace.domain import notices
from marketplace.errors import MarketError
from marketplace.locks import lock_account, lock_instance
from marketplace.models import Instance, User
from marketplace.services.audit import audit_record
from marketplace.services.clearing import machine_clear
from marketplace.services.notices import account_notice_post
from marketplace.services.stopping import instance_stop_now, swept

logger = structlog.get_logger(__name__)

STOPPED = "Stopped because your account is suspended. The disk is kept."
HOST_SUSPENDED = "The account that the machine belongs to is suspended."
PAYOUTS_HELD = "The account is suspended."


@transaction.atomic
def account_suspend(*, user_id: int, actor: User, reason: str, now: datetime) -> User:
    """Lock the account out, stop what it rents, take its machines' offers away, hold its payouts.

    Disks are kept, and charged; who rents on the account's machines goes on. Raises MarketError: no_such_account (404),
    missing_reason, forbidden (403) for oneself and, unless the actor is a superuser, for staff.
    """
    reason = reason.strip()[:300]
    if not reason:
        raise MarketError("missing_reason", "Say why: the account's owner is told.", field="reason")
    user = lock_account(user_id)
    _refuse_among_staff(user, actor)
    user.suspended_at, user.suspended_reason = user.suspended_at or now, reason
    user.save(update_fields=["suspended_at", "suspended_reason"])
    payouts_hold_by_rule(host_id=user.pk, reason=PAYOUTS_HELD)
    auto_billing_suspend(owner_id=user.pk, now=now)
    audit_record(action="account.suspended", actor=actor, account_id=user.pk, message=reason, now=now)
    text = f"Your account is suspended. The reason: {reason} Answer this mail if that is wrong."
    _tell(user, notices.ACCOUNT_SUSPENDED, "Your account is suspended", text, now)
    transaction.on_commit(partial(suspensions_enforce, now=now), robust=True)
    return user


@transaction.atomic
def account_restore(*, user_id: int, actor: User, now: datetime) -> User:
    """Let the account back in, its machines back on the market and its payouts go. Nothing starts by itself.

    Raises MarketError: no_such_account (404), not_suspended (409), forbidden (403) as ``account_suspend``.
    """
    machines = list(Machine.objects.filter(host_id=user_id, suspended_with_account=True).order_by("pk"))
    for machine in machines:
        machine_restore(machine_id=machine.pk, actor=actor, now=now)
    user = lock_account(user_id)
    _refuse_among_staff(user, actor)
    if user.suspended_at is None:
        raise MarketError("not_suspended", f"{user.email} is not suspended.", status=409)
    user.suspended_at, user.suspended_reason = None, ""
    user.save(update_fields=["suspended_at", "suspended_reason"])
    payouts_release_by_rule(host_id=user.pk, reason=PAYOUTS_HELD)
    audit_record(action="account.restored", actor=actor, account_id=user.pk, now=now)
    text = "You can use your account again. What was stopped is not started by itself."
    _tell(user, notices.ACCOUNT_RESTORED, "Your account is open again", text, now)
    return user


def _refuse_among_staff(user: User, actor: User) -> None:
    if user.pk == actor.pk or ((user.is_staff or user.is_superuser) and not actor.is_superuser):
        message = "You can't suspend yourself or let yourself back, and staff are for superusers to suspend."
        raise MarketError("forbidden", message, status=403)


def suspensions_enforce(*, now: datetime) -> int:
    """Stop what suspended accounts have running or waiting, keep their machines from the market and their payouts
    held; how many instances and machines that were."""
    payouts_hold_all_by_rule(host_ids=list(_suspended().values_list("pk", flat=True)), reason=PAYOUTS_HELD)
    running = Instance.objects.filter(client__in=_suspended(), state__in=states.CAN_STOP).order_by("machine_id", "pk")
    stopped = sum(swept(_stop, instance_id=pk, now=now) for pk in running.values_list("pk", flat=True))
    offered = Machine.objects.filter(host__in=_suspended(), suspended_at=None, removed_at=None).order_by("pk")
    return stopped + sum(_withheld(pk, now) for pk in offered.values_list("pk", flat=True))


def _withheld(machine_id: int, now: datetime) -> bool:
    """Whether the machine is kept from the market; one that goes wrong must not hold up the others."""
    try:
        return _withhold(machine_id, now)
    except Exception:
        logger.exception("suspension_failed", machine_id=machine_id)
        return False


@transaction.atomic
def _withhold(machine_id: int, now: datetime) -> bool:
    """The account may be back since the machine was listed as one of a suspended account's."""
    machine = lock_machine(machine_id)
    if not _suspended().filter(pk=machine.host_id).exists():
        return False
    machine_suspend(machine_id=machine_id, actor=None, reason=HOST_SUSPENDED, now=now, with_account=True)
    return True


@transaction.atomic
def _stop(instance_id: int, now: datetime) -> bool:
    instance = lock_instance(instance_id)
    if instance.state not in states.CAN_STOP or instance.client.suspended_at is None:
        return False
    instance_stop_now(
        instance=instance, actor=None, billed_until=now, now=now, reason="account_suspended", message=STOPPED
    )
    machine_clear(machine=instance.machine, now=now)
    return True


def _suspended() -> QuerySet[User]:
    return User.objects.filter(suspended_at__isnull=False)


def _tell(user: User, kind: str, subject: str, text: str, now: datetime) -> None:
    key = f"account:{user.pk}:{kind}:{now.isoformat()}"
    account_notice_post(owner_id=user.pk, kind=kind, key=key, subject=subject, text=text, now=now)
