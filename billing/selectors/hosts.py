"""What a host sees of its invoices and payouts."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet

from billing.domain.money import format_dollars
from billing.domain.payout_holds import OPEN, covered_micros
from billing.domain.weeks import WEEK, week_end_by
from billing.models import (
    AccountKind,
    AccountTerms,
    HostInvoice,
    LedgerAccount,
    Payout,
    PayoutHold,
    PayoutMethod,
    PayoutMethodState,
)
from billing.selectors.balances import posted_balance_micros
from billing.selectors.usage import earnings_by


@dataclass(frozen=True, slots=True)
class PayoutOutlook:
    """What is not paid out yet, in micro-dollars, and why; ``next_at`` is when the next week is invoiced."""

    waiting_micros: int
    held_micros: int
    """Of that, held for cases: not part of any payout until they are decided."""
    next_at: datetime
    obstacle: str
    """What keeps the rest from being paid; empty when nothing does."""

    @property
    def payable_micros(self) -> int:
        """What is not held."""
        return self.waiting_micros - self.held_micros


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
    amounts = holds_of(host).filter(state__in=OPEN).values_list("amount_micros", flat=True)
    held = covered_micros(sum(amounts), waiting)
    return PayoutOutlook(waiting, held, week_end_by(now) + WEEK, _obstacle(host, waiting - held))


def holds_of(host: AbstractBaseUser) -> QuerySet[PayoutHold]:
    """Amounts of the host's earnings that are held for cases, or were, newest first."""
    return PayoutHold.objects.filter(host_id=host.pk).order_by("-held_at", "-pk")


def hold_by_reference(reference: str) -> PayoutHold | None:
    """What is held, or was, for a case; None where that earned nothing."""
    return PayoutHold.objects.filter(reference=reference).first()


def held_by_invoice(invoice: HostInvoice) -> list[tuple[PayoutHold, int]]:
    """Holds that are open, each with the micro-dollars of the invoice that it is about; without those about none."""
    holds = PayoutHold.objects.filter(
        host_id=invoice.host_id, state__in=OPEN, since__lt=invoice.period_end, held_at__gt=invoice.period_start
    )
    parts = ((hold, _part(hold, invoice)) for hold in holds.order_by("held_at", "pk"))
    return [(hold, micros) for hold, micros in parts if micros]


def _part(hold: PayoutHold, invoice: HostInvoice) -> int:
    since, until = max(hold.since, invoice.period_start), min(hold.held_at, invoice.period_end)
    used = earnings_by(invoice.host, ["earner"], since, until, until, hold.earner)
    return min(hold.amount_micros, sum(use.amount_micros for use in used))


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
