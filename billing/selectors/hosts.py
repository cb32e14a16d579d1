"""What a host sees of its invoices and payouts."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet

from billing.domain.money import format_dollars
from billing.domain.weeks import WEEK, week_end_by
from billing.models import (
    AccountKind,
    AccountTerms,
    HostInvoice,
    LedgerAccount,
    Payout,
    PayoutMethod,
    PayoutMethodState,
)
from billing.selectors.balances import posted_balance_micros


@dataclass(frozen=True, slots=True)
class PayoutOutlook:
    """What is not paid out yet, in micro-dollars, and why; ``next_at`` is when the next week is invoiced."""

    waiting_micros: int
    next_at: datetime
    obstacle: str
    """What keeps it from being paid; empty when nothing does."""


def invoices_of(host: AbstractBaseUser) -> QuerySet[HostInvoice]:
    """The host's invoices, newest first."""
    return HostInvoice.objects.filter(host_id=host.pk).order_by("-period_end")


def payouts_of(host: AbstractBaseUser) -> QuerySet[Payout]:
    """The host's payouts, newest first."""
    return Payout.objects.filter(host_id=host.pk).select_related("invoice", "run").order_by("-pk")


def payout_method_of(host: AbstractBaseUser) -> PayoutMethod | None:
    """Where the host's money goes; None until it has chosen."""
    return PayoutMethod.objects.filter(host_id=host.pk).first()


def payout_outlook(host: AbstractBaseUser, now: datetime) -> PayoutOutlook:
    """The host's posted earnings that no payout has taken, and what they wait for."""
    account = LedgerAccount.objects.filter(kind=AccountKind.HOST_EARNINGS, owner_id=host.pk, reference="").first()
    waiting = 0 if account is None else posted_balance_micros(account)
    return PayoutOutlook(waiting, week_end_by(now) + WEEK, _obstacle(host, waiting))


def _obstacle(host: AbstractBaseUser, waiting_micros: int) -> str:
    terms = AccountTerms.objects.filter(owner_id=host.pk).exclude(payouts_held_reason="").first()
    if terms is not None:
        return f"Payouts are held: {terms.payouts_held_reason}"
    method = payout_method_of(host)
    if method is None or method.state == PayoutMethodState.PENDING:
        return "You have not finished setting up where your money goes."
    if method.state == PayoutMethodState.RESTRICTED:
        return "Your account cannot be paid to now."
    if waiting_micros < settings.PAYOUT_MINIMUM_MICROS:
        least = format_dollars(settings.PAYOUT_MINIMUM_MICROS)
        return f"Less than ${least} carries over until there is as much."
    return ""
