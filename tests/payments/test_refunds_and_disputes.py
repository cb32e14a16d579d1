"""Money that goes back: refunds by staff and at the provider, disputes; each takes the credit once."""

from uuid import UUID, uuid4

import pytest
import requests

from billing import services
from billing.domain.errors import InvalidAmountError, MissingReasonError, NotRefundableError, NotStaffError
from billing.models import Entry, Payment, PaymentDispute, PaymentRefund
from marketplace.models import User
from tests.payments.till import DOLLAR, Till, books_are_right, fees

pytestmark = pytest.mark.django_db


@pytest.fixture
def paid(till: Till) -> Payment:
    """Fifty dollars."""
    payment = till.buy(50)
    till.webhooks()
    payment.refresh_from_db()
    return payment


def refund(till: Till, paid: Payment, dollars: int, actor: User, key: UUID | None = None) -> PaymentRefund:
    asked = services.payment_refund(
        payment_id=paid.pk,
        amount_micros=dollars * DOLLAR,
        actor=actor,
        reason="The machine was broken.",
        key=key or uuid4(),
        now=till.now,
    )
    services.refund_send(refund_id=asked.pk, now=till.now)
    asked.refresh_from_db()
    return asked


def test_staff_refunds_a_part_and_the_rest(till: Till, paid: Payment, staff: User) -> None:
    assert refund(till, paid, 20, staff).state == "succeeded"
    assert till.balance() == 30 * DOLLAR
    refund(till, paid, 30, staff)
    till.webhooks()
    paid.refresh_from_db()
    assert (paid.refunded_micros, till.balance()) == (50 * DOLLAR, 0)
    entry = Entry.objects.filter(kind="payment_refund")[0]
    assert (entry.actor, "The machine was broken." in entry.memo) == (staff, True)
    assert till.told() == ["payment_received", "payment_refunded", "payment_refunded"]
    books_are_right(till)


def test_what_staff_may_not_do(till: Till, paid: Payment, staff: User) -> None:
    def ask(micros: int = DOLLAR, actor: User = staff, reason: str = "why") -> None:
        services.payment_refund(
            payment_id=paid.pk, amount_micros=micros, actor=actor, reason=reason, key=uuid4(), now=till.now
        )

    for error, wish in (
        (NotStaffError, {"actor": till.user}),
        (MissingReasonError, {"reason": " "}),
        (InvalidAmountError, {"micros": 0}),
        (InvalidAmountError, {"micros": 1}),
        (NotRefundableError, {"micros": 50 * DOLLAR + 10_000}),
    ):
        with pytest.raises(error):
            ask(**wish)
    ask(micros=40 * DOLLAR)
    with pytest.raises(NotRefundableError):
        ask(micros=20 * DOLLAR)
    assert PaymentRefund.objects.count() == 1


def test_a_payment_on_its_way_cannot_be_refunded(till: Till, staff: User) -> None:
    payment = till.buy(50)
    with pytest.raises(NotRefundableError):
        refund(till, payment, 1, staff)


@pytest.mark.parametrize("kind", ["lose_answer", "refuse"])
def test_a_refund_whose_answer_is_lost_is_given_once(till: Till, paid: Payment, staff: User, kind: str) -> None:
    till.provider.control("/faults", kind=kind, path="/v1/refunds", times=1)
    assert refund(till, paid, 20, staff).state == "requested"
    till.lose_webhooks()
    till.later(minutes=3)
    services.payments_reconcile(now=till.now)
    till.later(minutes=10)
    assert services.payments_reconcile(now=till.now) == 0
    assert till.entries() == [("payment", 50 * DOLLAR), ("payment_refund", -20 * DOLLAR)]
    assert PaymentRefund.objects.get().state == "succeeded"
    books_are_right(till)


def test_the_same_refund_asked_twice_is_one(till: Till, paid: Payment, staff: User) -> None:
    key = uuid4()
    assert refund(till, paid, 20, staff, key) == refund(till, paid, 20, staff, key)
    assert till.balance() == 30 * DOLLAR


def test_a_refund_that_the_provider_does_not_take(till: Till, paid: Payment, staff: User) -> None:
    till.provider.control(f"/payment_intents/{paid.intent_id}/refund", amount=4000)
    till.lose_webhooks()
    asked = refund(till, paid, 20, staff)
    assert (asked.state, "greater than unrefunded" in asked.failure) == ("refused", True)
    assert till.balance() == 50 * DOLLAR
    services.events_catch_up(now=till.now)
    services.events_process(now=till.now)
    assert till.balance() == 10 * DOLLAR
    books_are_right(till)


def test_a_refund_in_the_providers_dashboard_takes_credit_too_even_what_is_spent(till: Till, paid: Payment) -> None:
    services.credit_grant(
        user=till.user, amount_micros=DOLLAR, actor=None, reason="gift", idempotency_key="g", now=till.now
    )
    till.provider.control(f"/payment_intents/{paid.intent_id}/refund")
    assert set(till.webhooks()) == {200}
    till.webhooks()
    assert till.balance() == DOLLAR
    assert PaymentRefund.objects.get().reason == "Refunded at the payment provider"
    books_are_right(till)


def test_a_refund_that_does_not_arrive_comes_back(till: Till, paid: Payment, staff: User) -> None:
    asked = refund(till, paid, 20, staff)
    till.webhooks()
    till.provider.control(f"/refunds/{asked.provider_id}/fail")
    till.webhooks(order=lambda found: found * 2)
    assert till.entries() == [
        ("payment", 50 * DOLLAR),
        ("payment_refund", -20 * DOLLAR),
        ("payment_refund", 20 * DOLLAR),
    ]
    paid.refresh_from_db()
    assert (paid.refunded_micros, till.balance()) == (0, 50 * DOLLAR)
    books_are_right(till)


def dispute(till: Till, paid: Payment, **wish: object) -> str:
    found: str = till.provider.control(f"/payment_intents/{paid.intent_id}/dispute", **wish)["id"]
    return found


@pytest.mark.parametrize("order", [list, reversed], ids=["in_order", "reversed"])
@pytest.mark.parametrize(
    ("outcome", "balance", "kinds"), [("won", 50, ["dispute", "dispute_won"]), ("lost", 0, ["dispute"])]
)
def test_a_dispute_takes_the_credit_until_it_is_won(
    till: Till, paid: Payment, outcome: str, balance: int, kinds: list[str], order: type
) -> None:
    number = dispute(till, paid)
    till.webhooks(order)
    assert till.balance() == 0
    paid.refresh_from_db()
    assert paid.disputed_micros == 50 * DOLLAR
    assert fees() == 1_750_000 + 15_000_000
    till.provider.control(f"/disputes/{number}/close", status=outcome)
    till.webhooks(order)
    assert till.balance() == balance * DOLLAR
    assert [kind for kind, _ in till.entries()] == ["payment", *kinds]
    row = PaymentDispute.objects.get()
    assert (row.status, row.closed_at) == (outcome, till.now)
    assert till.told() == ["payment_received", "dispute_opened", "dispute_closed"]
    books_are_right(till)


def test_a_dispute_heard_of_only_when_it_is_over(till: Till, paid: Payment) -> None:
    number = dispute(till, paid)
    till.provider.control(f"/disputes/{number}/close", status="won")
    till.webhooks(reversed)
    assert [kind for kind, _ in till.entries()] == ["payment", "dispute", "dispute_won"]
    assert till.balance() == 50 * DOLLAR
    books_are_right(till)


def test_an_inquiry_takes_nothing(till: Till, paid: Payment) -> None:
    number = dispute(till, paid, inquiry=True)
    till.webhooks()
    assert till.balance() == 50 * DOLLAR
    till.provider.control(f"/disputes/{number}/close", status="warning_closed")
    till.webhooks()
    assert (till.balance(), PaymentDispute.objects.get().withdrawn_micros) == (50 * DOLLAR, 0)
    books_are_right(till)


def test_a_disputed_part_is_a_debt_when_the_credit_is_spent(till: Till, paid: Payment, staff: User) -> None:
    refund(till, paid, 30, staff)
    dispute(till, paid, amount=3000)
    till.webhooks()
    assert till.balance() == -10 * DOLLAR
    books_are_right(till)


def test_a_card_whose_owner_disputes_at_once(till: Till) -> None:
    till.buy(50, "4000000000000259")
    till.webhooks()
    assert till.balance() == 0
    assert [kind for kind, _ in till.entries()] == ["payment", "dispute"]
    books_are_right(till)


def test_refunds_wait_while_the_provider_is_away(till: Till, paid: Payment, staff: User) -> None:
    till.provider.control("/faults", kind="error", path="/v1/refunds", times=100)
    asked = refund(till, paid, 20, staff)
    till.later(hours=1)
    services.payments_reconcile(now=till.now)
    requests.delete(f"{till.provider.url}/_sandbox/faults", timeout=20)
    assert till.balance() == 50 * DOLLAR
    till.later(hours=1)
    services.payments_reconcile(now=till.now)
    asked.refresh_from_db()
    assert (asked.state, till.balance()) == ("succeeded", 30 * DOLLAR)
