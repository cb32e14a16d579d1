"""Hosts earn, and are invoiced."""

from datetime import datetime

from billing import services
from billing.models import AccountKind, LedgerAccount, Payout
from billing.selectors import posted_balance_micros
from marketplace.models import User
from tests.billing.weeks import FRIDAY, HOUR, open_on

DOLLAR = 1_000_000


def earns(host: User, payer: User, *, dollars: int, reference: str = "m") -> None:
    """The host's part of what a machine is used for in the week to FRIDAY; the use goes on until it is closed."""
    rate = dollars * DOLLAR * 4 // 3 + 1
    open_on(f"machine:{host.pk}", payer, host, FRIDAY - HOUR, reference=reference, rate=rate)


def week_of(host: User, payer: User, *, dollars: int, now: datetime = FRIDAY) -> Payout:
    """A payout of a host that has earned this much, made and not sent."""
    earns(host, payer, dollars=dollars, reference=f"m{host.pk}")
    services.weekly_runs(now=now)
    services.meter_close(reference=f"m{host.pk}", at=now)
    assert services.payouts_create(now=now) == 1
    return Payout.objects.select_related("run").get(host=host)


def balance(kind: AccountKind, owner: User | None = None, reference: str = "") -> int:
    """The posted balance; 0 for an account that there is not."""
    account = LedgerAccount.objects.filter(kind=kind, owner=owner, reference=reference).first()
    return 0 if account is None else posted_balance_micros(account)


def earnings(host: User) -> int:
    return balance(AccountKind.HOST_EARNINGS, host)


def pending() -> int:
    return balance(AccountKind.PAYOUTS_PENDING)


def clearing(provider: str) -> int:
    return balance(AccountKind.PROCESSOR_CLEARING, None, provider)
