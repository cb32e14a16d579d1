"""Credit that staff give, by service, command and admin."""

from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from billing import services
from billing.domain.errors import (
    BillingError,
    IdempotencyConflictError,
    InvalidAmountError,
    MissingReasonError,
    NotStaffError,
)
from billing.models import Entry, LedgerAccount
from billing.selectors import balance_micros
from marketplace.models import User
from tests.billing.ledger import postings_of

pytestmark = pytest.mark.django_db


def grant(user: User, now: datetime, **changes: object) -> Entry:
    terms = {"amount_micros": 5_000_000, "actor": None, "reason": "gift", "idempotency_key": "k"} | changes
    return services.credit_grant(user=user, now=now, **terms)  # type: ignore[arg-type]  # of any type


def test_the_same_key_gives_once(client_user: User, staff: User, now: datetime) -> None:
    first = grant(client_user, now, actor=staff)
    again = grant(client_user, now + timedelta(days=1), actor=staff)
    assert again.pk == first.pk
    assert first.actor_id == staff.pk
    assert postings_of(first) == {("adjustments", ""): -5_000_000, ("client_credit", client_user.email): 5_000_000}
    assert balance_micros(client_user, now) == 5_000_000


def test_the_same_key_for_something_else_is_refused(
    client_user: User, host_user: User, staff: User, now: datetime
) -> None:
    grant(client_user, now)
    others: list[tuple[User, dict[str, object]]] = [
        (client_user, {"amount_micros": 1}),
        (client_user, {"reason": "other"}),
        (client_user, {"actor": staff}),
        (host_user, {}),
    ]
    for user, change in others:
        with pytest.raises(IdempotencyConflictError):
            grant(user, now, **change)
    assert Entry.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"amount_micros": 0}, InvalidAmountError),
        ({"amount_micros": -1}, InvalidAmountError),
        ({"amount_micros": 10**15 + 1}, InvalidAmountError),
        ({"reason": "  "}, MissingReasonError),
    ],
)
def test_grants_that_make_no_sense_are_refused(
    client_user: User, now: datetime, change: dict[str, object], error: type[BillingError]
) -> None:
    with pytest.raises(error):
        grant(client_user, now, **change)
    assert not LedgerAccount.objects.exists()


def test_only_staff_give_credit(client_user: User, host_user: User, now: datetime) -> None:
    with pytest.raises(NotStaffError):
        grant(client_user, now, actor=host_user)
    assert not Entry.objects.exists()


def test_the_command_gives_credit_once_per_key(client_user: User, staff: User, now: datetime) -> None:
    said = StringIO()
    for _ in range(2):
        call_command(
            "credit_grant",
            email=client_user.email,
            amount="12.50",
            reason="gift",
            actor=staff.email,
            key="k",
            stdout=said,
        )
    assert "client@example.com has 12.50 dollars more" in said.getvalue()
    assert balance_micros(client_user, now) == 12_500_000


@pytest.mark.parametrize(
    ("email", "amount", "message"),
    [
        ("nobody@example.com", "1", "no account nobody@example.com"),
        ("client@example.com", "-1", "more than 0"),
        ("client@example.com", "ten", "not an amount"),
    ],
)
@pytest.mark.usefixtures("client_user")
def test_the_command_says_what_is_wrong(email: str, amount: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("credit_grant", email=email, amount=amount, reason="gift")
    assert not Entry.objects.exists()


@pytest.fixture
def admin_browser(client: Client, staff: User) -> Client:
    staff.is_superuser = True
    staff.save()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    return client


ADD = "/admin/billing/creditgrant/add/"


def test_the_admin_gives_credit_and_a_doubled_submit_gives_it_once(
    admin_browser: Client, client_user: User, staff: User, now: datetime
) -> None:
    form = admin_browser.get(ADD).context["adminform"].form
    sent = {"account": "Client@example.com ", "amount": "7.5", "reason": "sorry", "key": str(form["key"].value())}
    for _ in range(2):
        assert admin_browser.post(ADD, sent).status_code == 302
    entry = Entry.objects.get()
    assert (entry.memo, entry.actor_id) == ("sorry", staff.pk)
    assert balance_micros(client_user, now) == 7_500_000
    assert b"sorry" in admin_browser.get("/admin/billing/creditgrant/").content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": "0"}, "must be more than 0"),
        ({"amount": "1e3"}, "is not an amount in dollars"),
        ({"account": "nobody@example.com"}, "There is no account"),
        ({"reason": ""}, "This field is required"),
    ],
)
@pytest.mark.usefixtures("client_user")
def test_the_admin_says_what_is_wrong_beside_the_field(
    admin_browser: Client, change: dict[str, str], message: str
) -> None:
    sent = {"account": "client@example.com", "amount": "7.5", "reason": "sorry", "key": "k"} | change
    answer = admin_browser.post(ADD, sent)
    assert message in str(answer.context["adminform"].form.errors[next(iter(change))])
    assert not Entry.objects.exists()


@pytest.mark.usefixtures("client_user")
def test_the_admin_refuses_a_key_used_for_something_else(admin_browser: Client) -> None:
    sent = {"account": "client@example.com", "amount": "7.5", "reason": "sorry", "key": "k"}
    admin_browser.post(ADD, sent)
    answer = admin_browser.post(ADD, sent | {"amount": "8"}, follow=True)
    assert b"was used for a different credit" in answer.content
    assert Entry.objects.count() == 1


def test_every_admin_page_shows(admin_browser: Client, client_user: User, now: datetime) -> None:
    entry = grant(client_user, now)
    call_command("ledger_check", stdout=StringIO())
    for model in ("entry", "posting", "ledgeraccount", "meter", "creditgrant", "ledgercheckrun", "checkpointrun"):
        assert admin_browser.get(f"/admin/billing/{model}/").status_code == 200
    for page in (
        f"entry/{entry.pk}",
        f"creditgrant/{entry.pk}",
        f"ledgeraccount/{LedgerAccount.objects.get(owner=client_user).pk}",
    ):
        assert b"5.00" in admin_browser.get(f"/admin/billing/{page}/change/").content
    assert admin_browser.get("/admin/billing/entry/add/").status_code == 403
    assert admin_browser.post(f"/admin/billing/entry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
