"""The end of credit: warned of in time, known to the microsecond, and so is the end of the debt after it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from billing import services
from billing.domain.accrual import MICROSECONDS_PER_HOUR, MeterState
from billing.domain.depletion import balance_micros_at
from billing.domain.running_out import CreditEnd, DebtTerms, Stage, credit_end, stage_at
from billing.models import AccountKind, LedgerAccount
from billing.selectors import balance_micros, disks_end_at, ledger_check, overdue_payers, zero_at
from marketplace.models import Notice, User
from tests.billing.ledger import account
from tests.billing.opening import give, open_gpu, open_traffic

HOUR, DAY, MICROSECOND = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
TERMS = DebtTerms(grace=3 * DAY, limit_micros=5_000_000)
DISK = MeterState(
    rate_micros=36_000,
    quantum=MICROSECONDS_PER_HOUR,
    units=0,
    settled_at=NOON,
    running=True,
    posted_micros=0,
    share_units=0,
    host_share_bps=7_500,
)
NEVER = CreditEnd(None, None)


@pytest.mark.parametrize(
    ("left", "stage"),
    [
        (25 * HOUR, Stage.LASTS),
        (DAY + MICROSECOND, Stage.LASTS),
        (DAY, Stage.A_DAY_LEFT),
        (HOUR + MICROSECOND, Stage.A_DAY_LEFT),
        (HOUR, Stage.AN_HOUR_LEFT),
        (MICROSECOND, Stage.AN_HOUR_LEFT),
        (0 * HOUR, Stage.USED_UP),
        (-2 * DAY + MICROSECOND, Stage.USED_UP),
        (-2 * DAY, Stage.DISKS_GO_SOON),
        (-9 * DAY, Stage.DISKS_GO_SOON),
    ],
)
def test_stages_of_running_out(left: timedelta, stage: Stage) -> None:
    assert stage_at(CreditEnd(NOON + left, None), TERMS, NOON) == stage


def test_the_debts_limit_may_come_before_the_grace_ends() -> None:
    soon = CreditEnd(NOON, NOON + 30 * HOUR)
    assert soon.disks_end_at(TERMS) == NOON + 30 * HOUR
    assert stage_at(soon, TERMS, NOON + 6 * HOUR - MICROSECOND) == Stage.USED_UP
    assert stage_at(soon, TERMS, NOON + 6 * HOUR) == Stage.DISKS_GO_SOON
    at_once = CreditEnd(NOON, NOON + 2 * HOUR)  # no day to warn in
    assert stage_at(at_once, TERMS, NOON + HOUR - MICROSECOND) == Stage.USED_UP
    assert stage_at(at_once, TERMS, NOON + HOUR) == Stage.DISKS_GO_SOON
    assert CreditEnd(NOON, NOON + 9 * DAY).disks_end_at(TERMS) == NOON + 3 * DAY
    assert NEVER.disks_end_at(TERMS) is None


@given(
    balance=st.integers(-(10**7), 10**7),
    rates=st.lists(st.integers(1, 10**6), min_size=1, max_size=4),
    late=st.integers(0, 10**12),
)
def test_the_debt_reaches_its_limit_at_one_instant_whenever_it_is_looked_at(
    balance: int, rates: list[int], late: int
) -> None:
    meters = [replace(DISK, rate_micros=rate) for rate in rates]
    end = credit_end(balance, meters, NOON, NEVER, TERMS.limit_micros)
    limit = end.debt_limit_at
    assert limit is not None
    assert balance_micros_at(balance, meters, limit) <= -TERMS.limit_micros
    if limit > NOON:
        assert balance_micros_at(balance, meters, limit - MICROSECOND) > -TERMS.limit_micros
    if end.zero_at is not None and end.zero_at > NOON:
        assert limit > end.zero_at
    later = credit_end(balance, meters, NOON + late * MICROSECOND, end, TERMS.limit_micros)
    assert later == end


@pytest.fixture
def mails(client_user: User) -> "Mails":
    return Mails(client_user)


class Mails:
    """What an account was told."""

    def __init__(self, user: User) -> None:
        self._user = user

    def kinds(self) -> list[str]:
        return list(Notice.objects.filter(client=self._user).order_by("pk").values_list("kind", flat=True))

    def last(self) -> Notice:
        notice = Notice.objects.filter(client=self._user).order_by("-pk").first()
        assert notice is not None
        return notice


def lasts_for(user: User, host: User, length: timedelta, now: datetime) -> None:
    """Credit for so long of one GPU."""
    give(user, 100 * int(length.total_seconds()), now, key=f"{length} at {now}")
    if not LedgerAccount.objects.filter(owner=host).exists():
        open_gpu("instance:1:gpu", user, host, now)


def sweep(now: datetime) -> int:
    return services.credit_warnings_send(now=now)


@pytest.mark.django_db
def test_one_mail_a_day_before_one_an_hour_before_and_one_at_the_end(
    client_user: User, host_user: User, mails: Mails, now: datetime
) -> None:
    lasts_for(client_user, host_user, 30 * HOUR, now)
    assert sweep(now) == sweep(now + 6 * HOUR - MICROSECOND) == 0
    assert sweep(now + 6 * HOUR) == 1
    assert sweep(now + 6 * HOUR) == sweep(now + 29 * HOUR - MICROSECOND) == 0
    assert (mails.kinds(), mails.last().subject) == (["credit_low"], "Your credit lasts for a day more")
    assert "used up at 2026-03-07 18:00 UTC" in mails.last().text
    assert sweep(now + 29 * HOUR) == 1
    assert sweep(now + 30 * HOUR - MICROSECOND) == 0
    assert (mails.kinds(), mails.last().subject) == (["credit_low"] * 2, "Your credit lasts for an hour more")
    assert sweep(now + 30 * HOUR) == 1
    assert sweep(now + 36 * HOUR) == 0
    assert mails.kinds() == ["credit_low", "credit_low", "credit_used_up"]
    services.credit_used_up_tell(owner_id=client_user.pk, used_up_at=now + 30 * HOUR, now=now + 30 * HOUR)
    assert len(mails.kinds()) == 3


@pytest.mark.django_db
def test_who_begins_with_less_than_a_day_is_warned_an_hour_before(
    client_user: User, host_user: User, mails: Mails, now: datetime
) -> None:
    lasts_for(client_user, host_user, 20 * HOUR, now)
    assert sweep(now) == 1
    assert mails.kinds() == []
    sweep(now + 19 * HOUR)
    assert mails.last().subject == "Your credit lasts for an hour more"


@pytest.mark.django_db
def test_after_more_credit_the_warnings_come_again(
    client_user: User, host_user: User, mails: Mails, now: datetime
) -> None:
    lasts_for(client_user, host_user, 30 * HOUR, now)
    sweep(now + 6 * HOUR)
    sweep(now + 29 * HOUR)
    lasts_for(client_user, host_user, 4 * HOUR, now + 29 * HOUR)  # 5 hours: only the hour's can come again
    assert sweep(now + 29 * HOUR) == 1
    assert len(mails.kinds()) == 2
    sweep(now + 33 * HOUR)
    assert len(mails.kinds()) == 3
    lasts_for(client_user, host_user, 30 * HOUR, now + 33 * HOUR)
    assert sweep(now + 33 * HOUR) == 1
    assert sweep(now + 40 * HOUR) == 1
    assert mails.last().subject == "Your credit lasts for a day more"


@pytest.mark.django_db
def test_a_late_sweep_tells_only_what_is_still_news(
    client_user: User, host_user: User, mails: Mails, now: datetime
) -> None:
    lasts_for(client_user, host_user, 30 * HOUR, now)
    assert sweep(now + 31 * HOUR) == 1
    assert mails.kinds() == ["credit_used_up"]


@pytest.mark.django_db
def test_spending_that_ends_is_no_end_of_credit(
    client_user: User, host_user: User, mails: Mails, now: datetime
) -> None:
    lasts_for(client_user, host_user, 20 * HOUR, now)
    sweep(now)
    services.meter_pause(reference="instance:1:gpu", at=now + HOUR)
    assert sweep(now + 30 * HOUR) == 1
    assert mails.kinds() == []
    assert account(AccountKind.CLIENT_CREDIT, client_user).credit_stage == Stage.LASTS


def debt(client: User, host: User, now: datetime, *, disk_micros_per_hour: int = 36_000) -> datetime:
    """A GPU and a disk until the credit of an hour is used up, then the disk alone; returns when that was."""
    give(client, 360_000 + disk_micros_per_hour, now)
    open_gpu("instance:1:gpu", client, host, now)
    open_gpu("instance:1:storage", client, host, now, rate_micros_per_hour=disk_micros_per_hour)
    zero = zero_at(client)
    assert zero == now + HOUR
    services.meter_pause(reference="instance:1:gpu", at=zero)
    return zero


@pytest.mark.django_db
def test_disks_are_kept_for_the_grace(client_user: User, host_user: User, mails: Mails, now: datetime) -> None:
    zero = debt(client_user, host_user, now)
    assert disks_end_at(client_user, zero - MICROSECOND) is None
    assert disks_end_at(client_user, zero) == zero + 3 * DAY
    services.settle_running(now=zero + DAY)
    assert zero_at(client_user) == zero
    assert overdue_payers(zero + 3 * DAY - MICROSECOND) == {}
    assert overdue_payers(zero + 9 * DAY) == {client_user.pk: zero + 3 * DAY}
    sweep(zero)
    assert sweep(zero + 2 * DAY - MICROSECOND) == 0
    assert sweep(zero + 2 * DAY) == 1
    assert mails.kinds() == ["credit_used_up", "disks_expiring"]
    assert mails.last().subject == "Your disks are deleted at 2026-03-09 13:00 UTC"


@pytest.mark.django_db
def test_disks_are_kept_until_the_debt_reaches_its_limit(
    client_user: User, host_user: User, now: datetime, settings: Settings
) -> None:
    settings.DEBT_LIMIT_DOLLARS = 1
    zero = debt(client_user, host_user, now, disk_micros_per_hour=50_000)
    end = zero + 20 * HOUR
    assert disks_end_at(client_user, zero) == end
    for hours in (1, 7, 19, 21, 40):
        services.settle_running(now=zero + hours * HOUR)
        assert disks_end_at(client_user, zero + hours * HOUR) == end
    assert overdue_payers(end - MICROSECOND) == {}
    assert overdue_payers(end) == {client_user.pk: end}


@pytest.mark.django_db
def test_paying_a_part_moves_the_limit_and_not_the_grace(
    client_user: User, host_user: User, now: datetime, settings: Settings
) -> None:
    settings.DEBT_LIMIT_DOLLARS = 1
    zero = debt(client_user, host_user, now, disk_micros_per_hour=50_000)
    give(client_user, 200_000, zero + 10 * HOUR, key="part")
    assert disks_end_at(client_user, zero + 10 * HOUR) == zero + 24 * HOUR
    assert zero_at(client_user) == zero
    give(client_user, 800_000, zero + 11 * HOUR, key="more")
    assert disks_end_at(client_user, zero + 11 * HOUR) is None
    assert zero_at(client_user) == zero + 20 * HOUR
    assert balance_micros(client_user, zero + 11 * HOUR) == 450_000
    assert overdue_payers(zero + 19 * HOUR) == {}


@pytest.mark.django_db
def test_the_proofs_know_the_end_of_the_debt(client_user: User, host_user: User, now: datetime) -> None:
    zero = debt(client_user, host_user, now)
    open_traffic("instance:1:up", client_user, host_user, zero)
    services.traffic_count(reference="instance:1:up", bytes_total=10**9, now=zero + HOUR)
    assert ledger_check(zero + 2 * HOUR) == []
    LedgerAccount.objects.filter(owner=client_user).update(debt_limit_at=zero + HOUR)
    assert [item.code for item in ledger_check(zero + 2 * HOUR)] == ["end_of_debt_wrong"]
