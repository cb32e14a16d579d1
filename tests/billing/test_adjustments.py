"""Money that staff move by hand: two persons, one entry."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from billing import services
from billing.domain.errors import (
    AdjustmentDecidedError,
    BillingError,
    IdempotencyConflictError,
    InvalidAmountError,
    MissingReasonError,
    NotStaffError,
    SamePersonError,
)
from billing.models import AccountKind, AdjustmentRequest, Entry, LedgerAccount
from billing.selectors import balance_micros, client_spend_limit_micros, host_earnings_micros, ledger_check, zero_at
from marketplace.models import User
from tests.billing.conftest import MakeUser
from tests.billing.ledger import postings_of
from tests.billing.opening import give, open_gpu
from tests.billing.racing import race

KEY = UUID("6f1fae5e-9a38-4b73-8f0e-0b6a9c6a6d10")
DOLLAR = 1_000_000


@pytest.fixture
def other(make_user: MakeUser) -> User:
    return make_user("other", is_staff=True)


def ask(owner: User, actor: User, now: datetime, **changes: object) -> AdjustmentRequest:
    asked = {
        "kind": "adjustment",
        "account_kind": "client_credit",
        "amount_micros": 5 * DOLLAR,
        "reason": "A mistake of ours",
        "key": KEY,
    }
    return services.adjustment_request(owner=owner, actor=actor, now=now, **(asked | changes))  # type: ignore[arg-type]  # the dict mixes types by design


@pytest.mark.django_db
def test_nothing_moves_before_somebody_else_agrees(client_user: User, staff: User, other: User, now: datetime) -> None:
    asked = ask(client_user, staff, now)
    assert (asked.state, Entry.objects.count()) == ("requested", 0)
    with pytest.raises(SamePersonError):
        services.adjustment_approve(request_id=asked.pk, actor=staff, now=now)
    with pytest.raises(NotStaffError):
        services.adjustment_approve(request_id=asked.pk, actor=client_user, now=now)
    assert Entry.objects.count() == 0
    posted = services.adjustment_approve(request_id=asked.pk, actor=other, now=now + timedelta(hours=1))
    entry = Entry.objects.get()
    assert (posted.state, posted.entry_id, posted.decided_by_id) == ("posted", entry.pk, other.pk)
    assert (entry.kind, entry.memo, entry.actor_id) == ("adjustment", "A mistake of ours", other.pk)
    assert entry.details == {"requested_by": staff.pk}
    assert postings_of(entry) == {("client_credit", client_user.email): 5 * DOLLAR, ("adjustments", ""): -5 * DOLLAR}
    assert client_spend_limit_micros(client_user) == 2 * DOLLAR  # it speaks for nobody
    for decide in (services.adjustment_approve, services.adjustment_reject):
        with pytest.raises(AdjustmentDecidedError):
            decide(request_id=asked.pk, actor=other, now=now)
    assert Entry.objects.count() == 1
    assert ledger_check(now) == []


@pytest.mark.django_db
def test_a_rejected_request_moves_nothing_for_good(client_user: User, staff: User, other: User, now: datetime) -> None:
    asked = ask(client_user, staff, now)
    assert services.adjustment_reject(request_id=asked.pk, actor=other, now=now).state == "rejected"
    with pytest.raises(AdjustmentDecidedError):
        services.adjustment_approve(request_id=asked.pk, actor=other, now=now)
    assert Entry.objects.count() == 0


@pytest.mark.django_db
def test_a_negative_adjustment_moves_the_end_of_credit(
    client_user: User, host_user: User, staff: User, other: User, now: datetime
) -> None:
    give(client_user, 3_600_000, now)
    open_gpu("instance:1:gpu", client_user, host_user, now)
    asked = ask(client_user, staff, now, amount_micros=-360_000)
    services.adjustment_approve(request_id=asked.pk, actor=other, now=now)
    assert balance_micros(client_user, now) == 3_240_000
    assert zero_at(client_user) == now + timedelta(hours=9)


@pytest.mark.django_db
def test_a_hosts_earnings_are_adjusted_too(host_user: User, staff: User, other: User, now: datetime) -> None:
    asked = ask(host_user, staff, now, account_kind="host_earnings", amount_micros=-DOLLAR)
    services.adjustment_approve(request_id=asked.pk, actor=other, now=now)
    assert host_earnings_micros(host_user, now) == -DOLLAR


@pytest.mark.django_db
def test_a_small_refund_takes_one_person_a_large_one_two(
    client_user: User, staff: User, other: User, now: datetime
) -> None:
    small = ask(client_user, staff, now, kind="usage_refund", amount_micros=50 * DOLLAR)
    assert (small.state, small.decided_by_id) == ("posted", None)
    entry = Entry.objects.get()
    assert (entry.kind, entry.actor_id) == ("usage_refund", staff.pk)
    assert postings_of(entry) == {("client_credit", client_user.email): 50 * DOLLAR, ("refunds", ""): -50 * DOLLAR}
    large = ask(client_user, staff, now, kind="usage_refund", amount_micros=50 * DOLLAR + 1, key=uuid4())
    assert large.state == "requested"
    assert balance_micros(client_user, now) == 50 * DOLLAR
    services.adjustment_approve(request_id=large.pk, actor=other, now=now)
    assert balance_micros(client_user, now) == 100 * DOLLAR + 1


@pytest.mark.django_db
def test_many_small_refunds_are_a_large_one(client_user: User, host_user: User, staff: User, now: datetime) -> None:
    def refund(owner: User, dollars: int, at: datetime, kind: str = "usage_refund") -> str:
        return ask(owner, staff, at, kind=kind, amount_micros=dollars * DOLLAR, key=uuid4()).state

    assert refund(client_user, 30, now) == "posted"
    assert refund(client_user, 21, now + timedelta(hours=1)) == "requested"
    assert refund(client_user, 20, now + timedelta(hours=2), "credit_grant") == "posted"
    assert refund(client_user, 1, now + timedelta(hours=3)) == "requested"
    assert refund(host_user, 30, now + timedelta(hours=3)) == "posted"  # another account
    assert refund(client_user, 30, now + timedelta(hours=24)) == "posted"
    assert balance_micros(client_user, now + timedelta(hours=24)) == 80 * DOLLAR


@pytest.mark.django_db(transaction=True)
def test_of_two_gifts_at_once_that_are_too_much_together_one_is_asked_for(
    client_user: User, staff: User, now: datetime
) -> None:
    give(client_user, 1, now)
    acts = [
        lambda: ask(client_user, staff, now, kind="usage_refund", amount_micros=30 * DOLLAR, key=uuid4())
        for _ in range(2)
    ]
    hold = LedgerAccount.objects.select_for_update(no_key=True).filter(owner=client_user)
    race(lambda: list(hold), acts)
    assert sorted(AdjustmentRequest.objects.values_list("state", flat=True)) == ["posted", "requested"]


@pytest.mark.django_db
def test_the_same_key_asks_once(client_user: User, host_user: User, staff: User, other: User, now: datetime) -> None:
    first = ask(client_user, staff, now, kind="usage_refund", amount_micros=DOLLAR)
    assert ask(client_user, staff, now, kind="usage_refund", amount_micros=DOLLAR).pk == first.pk
    assert balance_micros(client_user, now) == DOLLAR
    for owner, actor, change in (
        (host_user, staff, {}),
        (client_user, other, {}),
        (client_user, staff, {"amount_micros": 2 * DOLLAR}),
        (client_user, staff, {"reason": "Another"}),
    ):
        with pytest.raises(IdempotencyConflictError):
            ask(owner, actor, now, **({"kind": "usage_refund", "amount_micros": DOLLAR} | change))
    assert AdjustmentRequest.objects.count() == Entry.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"amount_micros": 0}, InvalidAmountError),
        ({"amount_micros": -(10**15) - 1}, InvalidAmountError),
        ({"kind": "usage_refund", "amount_micros": -1}, InvalidAmountError),
        ({"kind": "usage_refund", "account_kind": "host_earnings"}, InvalidAmountError),
        ({"kind": "credit_grant", "amount_micros": -1}, InvalidAmountError),
        ({"kind": "credit_grant", "account_kind": "host_earnings"}, InvalidAmountError),
        ({"kind": "payment"}, InvalidAmountError),
        ({"account_kind": "platform_fees"}, InvalidAmountError),
        ({"reason": " "}, MissingReasonError),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    client_user: User, staff: User, now: datetime, change: dict[str, object], error: type[BillingError]
) -> None:
    with pytest.raises(error):
        ask(client_user, staff, now, **change)
    with pytest.raises(NotStaffError):
        ask(client_user, client_user, now)
    assert not AdjustmentRequest.objects.exists()


@pytest.mark.django_db
def test_the_database_wants_two_persons(client_user: User, staff: User, other: User, now: datetime) -> None:
    asked = AdjustmentRequest.objects.filter(pk=ask(client_user, staff, now).pk)
    give(client_user, 1, now)
    for values in (
        {"decided_by": staff, "decided_at": now, "state": "rejected"},
        {"decided_by": None, "decided_at": now, "state": "posted", "entry": Entry.objects.get()},
        {"decided_by": other, "decided_at": now, "state": "posted"},
        {"decided_at": now},
        {"state": "lost"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            asked.update(**values)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_does(client_user: User, staff: User, make_user: MakeUser, now: datetime) -> None:
    asked = ask(client_user, staff, now)
    people = [make_user(f"decider{number}", is_staff=True) for number in range(3)]
    acts = [
        lambda actor=actor: services.adjustment_approve(request_id=asked.pk, actor=actor, now=now) for actor in people
    ]
    hold = AdjustmentRequest.objects.select_for_update(no_key=True).filter(pk=asked.pk)
    outcomes = race(lambda: list(hold), acts)
    assert sum(isinstance(outcome, AdjustmentRequest) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AdjustmentDecidedError) for outcome in outcomes) == 2
    assert balance_micros(client_user, now) == 5 * DOLLAR


@pytest.fixture
def browsers(staff: User, other: User) -> list[Client]:
    """Of two members of the staff."""
    browsers = []
    for user in (staff, other):
        user.is_superuser = True
        user.save()
        browser = Client()
        browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        browsers.append(browser)
    return browsers


LIST = "/admin/billing/adjustmentrequest/"


@pytest.mark.django_db
def test_one_asks_and_the_other_decides_in_the_admin(browsers: list[Client], client_user: User, now: datetime) -> None:
    one, two = browsers
    form = one.get(f"{LIST}add/").context["adminform"].form
    sent = {
        "kind": "adjustment",
        "owner": "Client@example.com",
        "account_kind": "client_credit",
        "amount": "-7.5",
        "reason": "Counted twice",
        "key": str(form["key"].value()),
    }
    for _ in range(2):
        assert one.post(f"{LIST}add/", sent).status_code == 302
    asked = AdjustmentRequest.objects.get()
    decide = {"action": "approve", "_selected_action": str(asked.pk)}
    assert b"Somebody else has to decide" in one.post(LIST, decide, follow=True).content
    assert balance_micros(client_user, now) == 0
    assert b"is posted" in two.post(LIST, decide, follow=True).content
    assert balance_micros(client_user, now) == -7_500_000
    assert b"Counted twice" in one.get(f"{LIST}{asked.pk}/change/").content


@pytest.mark.django_db
@pytest.mark.parametrize(("change", "field"), [({"amount": "0"}, "amount"), ({"owner": "nobody@example.com"}, "owner")])
@pytest.mark.usefixtures("client_user")
def test_the_form_says_what_is_wrong(browsers: list[Client], change: dict[str, str], field: str) -> None:
    sent = {
        "kind": "usage_refund",
        "owner": "client@example.com",
        "account_kind": "client_credit",
        "amount": "1",
        "reason": "x",
        "key": str(KEY),
    }
    answer = browsers[0].post(f"{LIST}add/", sent | change)
    assert list(answer.context["adminform"].form.errors) == [field]
    assert not AdjustmentRequest.objects.exists()


@pytest.mark.django_db
def test_a_statement_in_the_admin_has_its_total(browsers: list[Client], client_user: User, now: datetime) -> None:
    give(client_user, 5 * DOLLAR, now)
    give(client_user, 2_500_000, now, key="more")
    services.settle_running(now=now)
    account = client_user.ledger_accounts.get(kind=AccountKind.CLIENT_CREDIT)
    accounts = browsers[0].get("/admin/billing/ledgeraccount/").content.decode()
    statement = f"/admin/billing/posting/?account__id__exact={account.pk}"
    assert statement in accounts
    assert "2 postings, 7.50 dollars in all" in browsers[0].get(statement).content.decode()
