"""What staff agree with an account, by service and in the administration."""

from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from billing import services
from billing.domain.errors import (
    AdjustmentDecidedError,
    BillingError,
    InvalidRateError,
    InvalidShareError,
    NotStaffError,
    SamePersonError,
)
from billing.domain.terms import Terms, in_favour
from billing.models import AccountTerms, TermsRequest
from billing.selectors import client_spend_limit_micros
from billing.selectors.terms import host_share_bps_of
from marketplace.models import AuditEntry, User
from tests.billing.conftest import MakeUser

pytestmark = pytest.mark.django_db

DOLLAR = 1_000_000
CHANGE = "/admin/billing/accountterms/{}/change/"
REQUESTS = "/admin/billing/termsrequest/"


@pytest.fixture
def other(make_user: MakeUser) -> User:
    return make_user("other", is_staff=True)


def agree(
    owner: User, actor: User, now: datetime, share: int | None = None, limit: int | None = None
) -> TermsRequest | None:
    return services.account_terms_set(owner=owner, terms=Terms(share, limit), actor=actor, now=now)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Terms(), Terms(7_501), True),
        (Terms(), Terms(7_500), False),
        (Terms(9_000), Terms(8_000), False),
        (Terms(7_000), Terms(), True),
        (Terms(), Terms(None, 3 * DOLLAR), True),
        (Terms(), Terms(None, DOLLAR), False),
        (Terms(None, DOLLAR), Terms(), True),
        (Terms(9_000, 9 * DOLLAR), Terms(8_000, 10 * DOLLAR), True),
    ],
)
def test_more_of_anything_is_in_the_accounts_favour(before: Terms, after: Terms, expected: bool) -> None:
    assert in_favour(before, after, usual_share_bps=7_500, usual_limit_micros=2 * DOLLAR) is expected


def test_less_takes_one_person_and_is_written_down(host_user: User, staff: User, now: datetime) -> None:
    for _ in range(2):  # the second time nothing is different
        assert agree(host_user, staff, now, 7_000, DOLLAR) is None
    assert (host_share_bps_of(host_user.pk), client_spend_limit_micros(host_user)) == (7_000, DOLLAR)
    entry = AuditEntry.objects.get(action="terms.changed")
    assert (entry.actor, entry.account) == (staff, host_user)
    assert entry.message == "usual share, usual limit -> share 7000 bps, limit $1.00 an hour"


def test_more_takes_two(host_user: User, staff: User, other: User, now: datetime) -> None:
    asked = agree(host_user, staff, now, 10_000)
    assert asked is not None
    assert agree(host_user, staff, now, 10_000) == asked
    assert host_share_bps_of(host_user.pk) == 7_500
    with pytest.raises(SamePersonError):
        services.terms_request_decide(request_id=asked.pk, agree=True, actor=staff, now=now)
    with pytest.raises(NotStaffError):
        services.terms_request_decide(request_id=asked.pk, agree=True, actor=host_user, now=now)
    services.terms_request_decide(request_id=asked.pk, agree=True, actor=other, now=now)
    assert host_share_bps_of(host_user.pk) == 10_000
    assert AuditEntry.objects.get(action="terms.changed").actor == other
    with pytest.raises(AdjustmentDecidedError):
        services.terms_request_decide(request_id=asked.pk, agree=False, actor=other, now=now)


def test_what_is_rejected_changes_nothing(host_user: User, staff: User, other: User, now: datetime) -> None:
    asked = agree(host_user, staff, now, 10_000)
    assert asked is not None
    assert services.terms_request_decide(request_id=asked.pk, agree=False, actor=other, now=now).state == "rejected"
    assert host_share_bps_of(host_user.pk) == 7_500


def test_a_request_is_overtaken_by_other_terms(host_user: User, staff: User, other: User, now: datetime) -> None:
    first = agree(host_user, staff, now, 10_000)
    second = agree(host_user, staff, now, 9_000)
    agree(host_user, staff, now + timedelta(hours=1), 5_000)
    for asked in (first, second):
        assert asked is not None
        with pytest.raises(AdjustmentDecidedError, match="overtaken"):
            services.terms_request_decide(request_id=asked.pk, agree=True, actor=other, now=now)
    assert host_share_bps_of(host_user.pk) == 5_000


def test_the_database_wants_two_persons(host_user: User, staff: User, now: datetime) -> None:
    asked = agree(host_user, staff, now, 10_000)
    assert asked is not None
    for values in (
        {"state": "agreed", "decided_by": staff, "decided_at": now},
        {"state": "agreed", "decided_at": now},
        {"state": "lost"},
        {"host_share_bps": 10_001},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            TermsRequest.objects.filter(pk=asked.pk).update(**values)


@pytest.mark.parametrize(
    ("share", "limit", "error"),
    [(10_001, None, InvalidShareError), (-1, None, InvalidShareError), (None, -1, InvalidRateError)],
)
def test_terms_that_make_no_sense_are_refused(
    host_user: User, staff: User, now: datetime, share: int | None, limit: int | None, error: type[BillingError]
) -> None:
    with pytest.raises(error):
        agree(host_user, staff, now, share, limit)
    with pytest.raises(NotStaffError):
        agree(host_user, host_user, now)
    assert not AccountTerms.objects.exists()


def test_holding_and_releasing_payouts_is_written_down(host_user: User, staff: User, now: datetime) -> None:
    services.payouts_hold(host_id=host_user.pk, actor=staff, reason="Chargebacks.", now=now)
    services.payouts_release(host_id=host_user.pk, actor=staff, now=now)
    told = AuditEntry.objects.order_by("pk").values_list("action", "message", "actor", "account")
    assert list(told) == [
        ("payouts.held", "Chargebacks.", staff.pk, host_user.pk),
        ("payouts.released", "They were held: Chargebacks.", staff.pk, host_user.pk),
    ]


@pytest.fixture
def browser(client: Client, staff: User) -> Client:
    staff.is_superuser = True
    staff.save()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_the_form_changes_terms_and_lets_no_payout_go(
    browser: Client, host_user: User, staff: User, now: datetime
) -> None:
    services.payouts_hold(host_id=host_user.pk, actor=staff, reason="Chargebacks.", now=now)
    terms = AccountTerms.objects.get()
    sent = {"host_share_bps": "7000", "spend_limit_micros_per_hour": "", "payouts_held_reason": ""}
    assert browser.post(CHANGE.format(terms.pk), sent).status_code == 302
    terms.refresh_from_db()
    assert (terms.host_share_bps, terms.payouts_held_reason) == (7_000, "Chargebacks.")
    assert AuditEntry.objects.filter(action="terms.changed", account=host_user, actor=staff).count() == 1
    assert browser.post(f"/admin/billing/accountterms/{terms.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_form_asks_for_more_and_another_agrees(browser: Client, host_user: User, other: User) -> None:
    sent = {"owner": host_user.pk, "host_share_bps": "8000", "spend_limit_micros_per_hour": ""}
    answer = browser.post("/admin/billing/accountterms/add/", sent, follow=True)
    asked = TermsRequest.objects.get()
    assert f"Asked for as request {asked.pk}" in answer.content.decode()
    decide = {"action": "agree", "_selected_action": str(asked.pk)}
    assert b"Somebody else has to decide" in browser.post(REQUESTS, decide, follow=True).content
    assert host_share_bps_of(host_user.pk) == 7_500
    other.is_superuser = True
    other.save()
    browser.force_login(other, backend="django.contrib.auth.backends.ModelBackend")
    assert b"is agreed" in browser.post(REQUESTS, decide, follow=True).content
    assert host_share_bps_of(host_user.pk) == 8_000
