"""Staff hold a host's payouts, and let them go."""

from collections.abc import Collection
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing import hooks, locks
from billing.domain.errors import MissingReasonError, NotStaffError
from billing.models import AccountTerms


@transaction.atomic
def payouts_hold(*, host_id: int, actor: AbstractBaseUser, reason: str, now: datetime) -> None:
    """Pays the host nothing until released; what is being sent already is not stopped.

    Raises NotStaffError, MissingReasonError.
    """
    if not reason.strip():
        raise MissingReasonError("Say why payouts are held.")
    _set(host_id, actor, reason.strip(), now)


@transaction.atomic
def payouts_release(*, host_id: int, actor: AbstractBaseUser, now: datetime) -> None:
    """Pays the host again, at once what was due meanwhile. Raises NotStaffError."""
    _set(host_id, actor, "", now)


def _set(host_id: int, actor: AbstractBaseUser, reason: str, now: datetime) -> None:
    if not getattr(actor, "is_staff", False):
        raise NotStaffError("Only staff may hold payouts.")
    terms = locks.account_terms(host_id)
    before, terms.payouts_held_reason = terms.payouts_held_reason, reason[:300]
    terms.save(update_fields=["payouts_held_reason"])
    action, said = ("payouts.held", reason) if reason else ("payouts.released", f"They were held: {before}")
    hooks.money().audited(action=action, actor_id=actor.pk, owner_id=host_id, message=said, now=now)


@transaction.atomic
def payouts_hold_by_rule(*, host_id: int, reason: str) -> bool:
    """The same by a rule of the marketplace, until staff release it or the rule does, by the same reason.

    Returns whether this holds them: what is held already stays held for the reason that it is.
    """
    terms, _ = AccountTerms.objects.get_or_create(owner_id=host_id)
    known = AccountTerms.objects.filter(pk=terms.pk, payouts_held_reason="")
    return bool(known.update(payouts_held_reason=reason[:300]))


def payouts_hold_all_by_rule(*, host_ids: Collection[int], reason: str) -> int:
    """``payouts_hold_by_rule`` for many whose payouts were held before, by anybody; returns how many are held by it
    now."""
    let_go = AccountTerms.objects.filter(owner_id__in=host_ids, payouts_held_reason="")
    return let_go.update(payouts_held_reason=reason[:300])


@transaction.atomic
def payouts_release_by_rule(*, host_id: int, reason: str) -> bool:
    """End what was held by a rule for exactly this reason; returns whether that is so. Staff's own holds stay."""
    held = AccountTerms.objects.filter(owner_id=host_id, payouts_held_reason=reason[:300])
    return bool(reason) and bool(held.update(payouts_held_reason=""))
