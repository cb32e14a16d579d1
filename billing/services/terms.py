"""What staff agree with one account."""

from dataclasses import asdict
from datetime import datetime

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing import hooks, locks
from billing.domain.errors import (
    AdjustmentDecidedError,
    InvalidRateError,
    InvalidShareError,
    NotStaffError,
    SamePersonError,
)
from billing.domain.terms import AGREED, OVERTAKEN, REJECTED, REQUESTED, WHOLE_BPS, Terms, in_favour
from billing.models import AccountTerms, TermsRequest
from billing.selectors.limits import usual_spend_limit_micros


@transaction.atomic
def account_terms_set(
    *, owner: AbstractBaseUser, terms: Terms, actor: AbstractBaseUser, now: datetime
) -> TermsRequest | None:
    """Change what is agreed with the account; what gives it more than it has is asked for, and the request returned.

    The same that waits already is not asked for again; any other that waits is overtaken. Whether payouts are held is
    not among the terms. The audit log has old and new. Raises NotStaffError, InvalidShareError, InvalidRateError.
    """
    _check(terms, actor)
    row = locks.account_terms(owner.pk)
    usual = {"usual_share_bps": settings.PLATFORM_HOST_SHARE_BPS, "usual_limit_micros": usual_spend_limit_micros(owner)}
    takes_two = in_favour(_terms_of(row), terms, **usual)
    waiting = TermsRequest.objects.filter(owner_id=owner.pk, state=REQUESTED).first()
    if waiting is not None and takes_two and _terms_of(waiting) == terms:
        return waiting
    TermsRequest.objects.filter(owner_id=owner.pk, state=REQUESTED).update(state=OVERTAKEN, decided_at=now)
    if takes_two:
        asked = {"owner_id": owner.pk, "requested_by_id": actor.pk, "requested_at": now}
        return TermsRequest.objects.create(**asked, **asdict(terms))
    _apply(row, terms, actor, now)
    return None


@transaction.atomic
def terms_request_decide(*, request_id: int, agree: bool, actor: AbstractBaseUser, now: datetime) -> TermsRequest:
    """Agree to terms that somebody else asked for, or refuse them.

    Raises NotStaffError, SamePersonError, AdjustmentDecidedError.
    """
    _check_staff(actor)
    row = locks.account_terms(TermsRequest.objects.get(pk=request_id).owner_id)
    request = TermsRequest.objects.get(pk=request_id)
    if request.requested_by_id == actor.pk:
        raise SamePersonError("Somebody else has to decide about what you asked for.")
    if request.state != REQUESTED:
        raise AdjustmentDecidedError(f"Request {request.pk} is {request.state} already.")
    request.state, request.decided_by_id, request.decided_at = AGREED if agree else REJECTED, actor.pk, now
    request.save(update_fields=["state", "decided_by", "decided_at"])
    if agree:
        _apply(row, _terms_of(request), actor, now)
    return request


def _terms_of(row: AccountTerms | TermsRequest) -> Terms:
    return Terms(row.host_share_bps, row.spend_limit_micros_per_hour)


def _apply(row: AccountTerms, terms: Terms, actor: AbstractBaseUser, now: datetime) -> None:
    before = _terms_of(row)
    if before == terms:
        return
    row.host_share_bps, row.spend_limit_micros_per_hour = terms.host_share_bps, terms.spend_limit_micros_per_hour
    row.save(update_fields=["host_share_bps", "spend_limit_micros_per_hour"])
    said = f"{before} -> {terms}"
    hooks.money().audited(action="terms.changed", actor_id=actor.pk, owner_id=row.owner_id, message=said, now=now)


def _check(terms: Terms, actor: AbstractBaseUser) -> None:
    _check_staff(actor)
    if terms.host_share_bps is not None and not 0 <= terms.host_share_bps <= WHOLE_BPS:
        raise InvalidShareError("A host's part is between 0 and 10000 hundredths of a percent.")
    if terms.spend_limit_micros_per_hour is not None and terms.spend_limit_micros_per_hour < 0:
        raise InvalidRateError("Nobody spends less than nothing.")


def _check_staff(actor: AbstractBaseUser) -> None:
    if not getattr(actor, "is_staff", False):
        raise NotStaffError("Only staff agree on terms.")
