"""What staff agree with one account."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing import hooks
from billing.domain.errors import InvalidRateError, InvalidShareError, NotStaffError
from billing.domain.money import exact_dollars
from billing.models import AccountTerms

WHOLE_BPS = 10_000


@transaction.atomic
def account_terms_set(
    *,
    owner_id: int,
    host_share_bps: int | None,
    spend_limit_micros_per_hour: int | None,
    actor: AbstractBaseUser,
    now: datetime,
) -> AccountTerms:
    """Agree on the host's part of new contracts (hundredths of a percent) and the most the client may spend an hour;
    None is what holds for all. Whether payouts are held is not among it.

    The audit log has old and new. Raises NotStaffError, InvalidShareError, InvalidRateError.
    """
    if not getattr(actor, "is_staff", False):
        raise NotStaffError("Only staff agree on terms.")
    if host_share_bps is not None and not 0 <= host_share_bps <= WHOLE_BPS:
        raise InvalidShareError("A host's part is between 0 and 10000 hundredths of a percent.")
    if spend_limit_micros_per_hour is not None and spend_limit_micros_per_hour < 0:
        raise InvalidRateError("Nobody spends less than nothing.")
    AccountTerms.objects.get_or_create(owner_id=owner_id)
    terms = AccountTerms.objects.select_for_update().get(owner_id=owner_id)
    before = _said(terms)
    terms.host_share_bps, terms.spend_limit_micros_per_hour = host_share_bps, spend_limit_micros_per_hour
    terms.save(update_fields=["host_share_bps", "spend_limit_micros_per_hour"])
    if before != _said(terms):
        message = f"{before} -> {_said(terms)}"
        hooks.money().audited(action="terms.changed", actor_id=actor.pk, owner_id=owner_id, message=message, now=now)
    return terms


def _said(terms: AccountTerms) -> str:
    share, limit = terms.host_share_bps, terms.spend_limit_micros_per_hour
    share_said = "usual share" if share is None else f"share {share} bps"
    return f"{share_said}, {'usual limit' if limit is None else f'limit ${exact_dollars(limit)} an hour'}"
