"""What staff agree with an account, by service and in the administration."""

from datetime import datetime

import pytest
from django.test import Client

from billing import services
from billing.domain.errors import BillingError, InvalidRateError, InvalidShareError, NotStaffError
from billing.models import AccountTerms
from billing.selectors.terms import host_share_bps_of
from marketplace.models import AuditEntry, User

pytestmark = pytest.mark.django_db

CHANGE = "/admin/billing/accountterms/{}/change/"


def agree(owner: User, actor: User, now: datetime, share: int | None = 9_000, limit: int | None = None) -> AccountTerms:
    return services.account_terms_set(
        owner_id=owner.pk, host_share_bps=share, spend_limit_micros_per_hour=limit, actor=actor, now=now
    )


def test_what_changes_is_written_down_with_old_and_new(host_user: User, staff: User, now: datetime) -> None:
    agree(host_user, staff, now)
    agree(host_user, staff, now)  # nothing is different
    agree(host_user, staff, now, share=None, limit=20_000_000)
    assert host_share_bps_of(host_user.pk) == 7_500
    first, second = AuditEntry.objects.filter(action="terms.changed").order_by("pk")
    assert (first.actor, first.account) == (staff, host_user)
    assert first.message == "usual share, usual limit -> share 9000 bps, usual limit"
    assert second.message == "share 9000 bps, usual limit -> usual share, limit $20.00 an hour"


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
    sent = {"host_share_bps": "8000", "spend_limit_micros_per_hour": "", "payouts_held_reason": ""}
    assert browser.post(CHANGE.format(terms.pk), sent).status_code == 302
    terms.refresh_from_db()
    assert (terms.host_share_bps, terms.payouts_held_reason) == (8_000, "Chargebacks.")
    assert AuditEntry.objects.filter(action="terms.changed", account=host_user, actor=staff).count() == 1
    assert browser.post(f"/admin/billing/accountterms/{terms.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_form_makes_terms(browser: Client, host_user: User) -> None:
    sent = {"owner": host_user.pk, "host_share_bps": "8000", "spend_limit_micros_per_hour": ""}
    assert browser.post("/admin/billing/accountterms/add/", sent).status_code == 302
    assert AccountTerms.objects.get().owner == host_user
