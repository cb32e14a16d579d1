"""Balances at an instant. Nothing is written to know them."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.domain.accrual import charge_at
from billing.domain.depletion import balance_micros_at
from billing.models import AccountKind, LedgerAccount, Meter, Posting
from billing.selectors.wallets import client_wallets, host_wallets


def balance_micros(user: AbstractBaseUser, now: datetime) -> int:
    """The client's credit at ``now`` in micro-dollars, to the micro-dollar; negative is debt.

    It equals the posted balance after settling everything at ``now``.
    """
    return balances_micros([user.pk], now)[user.pk]


def balances_micros(user_ids: Collection[int], now: datetime) -> dict[int, int]:
    """``balance_micros`` of several accounts by id; 0 for those that never had credit."""
    found = {w.owner_id: balance_micros_at(w.posted_micros, w.meters, now) for w in client_wallets(user_ids)}
    return {user_id: found.get(user_id, 0) for user_id in user_ids}


def hourly_cost_micros(user: AbstractBaseUser) -> int:
    """What the client's running meters cost together, in micro-dollars per hour."""
    running = Meter.objects.filter(payer_id=user.pk, closed_at=None, running_since__isnull=False)
    return running.aggregate(total=Sum("rate_micros"))["total"] or 0


def zero_at(user: AbstractBaseUser) -> datetime | None:
    """The instant the client's credit is used up at present rates; None if it lasts. In the past while in
    debt.
    """
    accounts = LedgerAccount.objects.filter(kind=AccountKind.CLIENT_CREDIT, owner_id=user.pk, reference="")
    return accounts.values_list("zero_at", flat=True).first()


def seconds_left(user: AbstractBaseUser, now: datetime) -> int | None:
    """Whole seconds until ``zero_at``, 0 when it has passed; None if the credit lasts."""
    instant = zero_at(user)
    return None if instant is None else max(0, (instant - now) // timedelta(seconds=1))


def exhausted_payers(now: datetime) -> list[int]:
    """Ids of accounts that go on spending although their credit has reached zero, longest ago first."""
    accounts = LedgerAccount.objects.filter(zero_at__lte=now).order_by("zero_at", "pk")
    return [owner_id for owner_id in accounts.values_list("owner_id", flat=True) if owner_id is not None]


def posted_balance_micros(account: LedgerAccount) -> int:
    """The sum of the account's postings in micro-dollars, through its checkpoint; no accruals."""
    later = Posting.objects.filter(account=OuterRef("pk"), pk__gt=OuterRef("checkpoint_posting_id"))
    added = later.order_by().values("account").annotate(total=Sum("amount_micros")).values("total")
    balance = F("checkpoint_micros") + Coalesce(Subquery(added), 0)
    balances = LedgerAccount.objects.annotate(balance=balance).values_list("balance", flat=True)
    micros: int = balances.get(pk=account.pk)
    return micros


def host_earnings_micros(user: AbstractBaseUser, now: datetime) -> int:
    """The host's earnings not paid out yet at ``now`` in micro-dollars, including what is accrued and not
    posted.
    """
    return sum(
        wallet.posted_micros + sum(charge_at(meter, now).host_micros for meter in wallet.meters)
        for wallet in host_wallets([user.pk])
    )
