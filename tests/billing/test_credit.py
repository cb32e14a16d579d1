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
    SamePersonError,
    SecondPersonError,
)
from billing.models import AdjustmentRequest, Entry, LedgerAccount
from billing.selectors import balance_micros, ledger_check
from marketplace.models import AuditEntry, User
from tests.billing.conftest import MakeUser
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


def test_one_person_gives_only_so_much_a_day(
    client_user: User, staff: User, make_user: MakeUser, now: datetime
) -> None:
    with pytest.raises(SecondPersonError):
        grant(client_user, now, actor=staff, amount_micros=50_000_001)
    grant(client_user, now, actor=staff, amount_micros=50_000_000)
    later = now + timedelta(hours=23)
    with pytest.raises(SecondPersonError):  # nor do two persons who do not know of each other
        grant(client_user, later, actor=make_user("other", is_staff=True), amount_micros=1, idempotency_key="k2")
    assert grant(client_user, later, actor=staff, amount_micros=50_000_000).occurred_at == now  # the same again
    grant(client_user, now + timedelta(hours=24), actor=staff, idempotency_key="k3")
    assert balance_micros(client_user, now) == 55_000_000


def test_what_is_too_much_for_one_is_posted_once_another_agrees(
    client_user: User, staff: User, make_user: MakeUser, now: datetime
) -> None:
    terms = {"user": client_user, "actor": staff, "reason": "sorry", "idempotency_key": "k"}
    for _ in range(2):
        asked = services.credit_give(**terms, amount_micros=500_000_000, now=now)  # type: ignore[arg-type]  # mixed dict
        assert isinstance(asked, AdjustmentRequest)
    assert (AdjustmentRequest.objects.count(), balance_micros(client_user, now)) == (1, 0)
    with pytest.raises(SamePersonError):
        services.adjustment_approve(request_id=asked.pk, actor=staff, now=now)
    services.adjustment_approve(request_id=asked.pk, actor=make_user("other", is_staff=True), now=now)
    entry = Entry.objects.get()
    assert (entry.kind, entry.memo) == ("credit_grant", "sorry")
    assert postings_of(entry) == {("adjustments", ""): -500_000_000, ("client_credit", client_user.email): 500_000_000}
    assert LedgerAccount.objects.get(owner=client_user).granted_micros == 500_000_000
    assert ledger_check(now) == []
    assert isinstance(services.credit_give(**terms, amount_micros=500_000_000, now=now), AdjustmentRequest)  # type: ignore[arg-type]  # likewise
    assert Entry.objects.count() == 1
    small = services.credit_give(**(terms | {"idempotency_key": "k2"}), amount_micros=1, now=now)  # type: ignore[arg-type]  # likewise
    assert isinstance(small, Entry)  # what two agreed on is not what one gave


@pytest.mark.parametrize(("actor", "name"), [("staff@example.com", "staff@example.com"), (None, None)])
@pytest.mark.usefixtures("staff")
def test_the_command_leaves_one_entry_in_the_audit_log(client_user: User, actor: str | None, name: str | None) -> None:
    for _ in range(2):
        command = {"email": client_user.email, "amount": "12.50", "reason": "gift", "actor": actor, "key": "k"}
        call_command("credit_grant", **command, stdout=StringIO())
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.account, entry.message) == ("credit.granted", client_user, "$12.50: gift")
    assert (entry.actor.email if entry.actor else None) == name


def test_the_command_asks_for_what_takes_two(client_user: User, staff: User, now: datetime) -> None:
    said = StringIO()
    command = {"email": client_user.email, "amount": "500", "reason": "gift", "actor": staff.email}
    call_command("credit_grant", **command, stdout=said)
    assert "somebody else has to agree. 500.00 dollars are asked for" in said.getvalue()
    assert (AdjustmentRequest.objects.get().state, balance_micros(client_user, now)) == ("requested", 0)


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


def test_the_admin_asks_for_what_takes_two(admin_browser: Client, client_user: User, now: datetime) -> None:
    sent = {"account": "client@example.com", "amount": "500", "reason": "sorry", "key": "k"}
    answer = admin_browser.post(ADD, sent, follow=True)
    assert answer.redirect_chain == [("/admin/billing/creditgrant/", 302)]
    asked = AdjustmentRequest.objects.get()
    assert f"Asked for as request {asked.pk}" in answer.content.decode()
    assert (asked.kind, asked.state, balance_micros(client_user, now)) == ("credit_grant", "requested", 0)


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
