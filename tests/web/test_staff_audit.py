"""What staff do and what concerns accounts' security, in the audit log."""

import pytest
from allauth.account import signals as account_signals
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django.fixtures import Settings

from marketplace.models import AuditEntry, User
from marketplace.services.suspensions import account_suspend
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


def act() -> AuditEntry:
    """The one entry of something sent in the administration."""
    return AuditEntry.objects.get(action="admin.act")


def change_page(account: User) -> str:
    return reverse("admin:marketplace_user_change", args=[account.pk])


INLINE = {"ssh_keys-TOTAL_FORMS": "0", "ssh_keys-INITIAL_FORMS": "0"}


def test_what_staff_send_in_the_administration_is_written_down(staff: Client, boss: User, agent: TestAgent) -> None:
    machines = reverse("admin:hosting_machine_changelist")
    staff.post(machines, {"action": "verify", "_selected_action": [agent.machine.pk]})
    entry = act()
    assert (entry.actor, entry.object_type, entry.message) == (boss, "hosting_machine_changelist", f"{machines} verify")
    assert (entry.details["chosen"], entry.details["chosen_count"]) == ([str(agent.machine.pk)], 1)


def test_passwords_that_staff_send_are_not_kept_but_whose_they_are_is(staff: Client, boss: User, renter: User) -> None:
    password = reverse("admin:auth_user_password_change", args=[renter.pk])
    sent = {"password1": "a-new-secret-phrase", "password2": "a-new-secret-phrase", "usable_password": "true"}
    assert staff.post(password, sent).status_code == 302
    assert "a-new-secret-phrase" not in str(list(AuditEntry.objects.values("details", "message")))
    assert (act().object_id, act().account, act().message) == (str(renter.pk), renter, password)
    entry = AuditEntry.objects.get(action="password.set_by_staff")
    assert (entry.actor, entry.account) == (boss, renter)


def test_a_password_that_was_refused_is_not_said_to_be_set(staff: Client, renter: User) -> None:
    password = reverse("admin:auth_user_password_change", args=[renter.pk])
    staff.post(password, {"password1": "one", "password2": "another", "usable_password": "true"})
    assert not AuditEntry.objects.filter(action="password.set_by_staff").exists()


def test_nothing_that_is_sent_besides_hides_what_was_done(staff: Client, boss: User, renter: User) -> None:
    padding = {f"a{number:03}": "x" for number in range(300)}
    sent = {"email": "new@example.com", "is_active": "on", "is_superuser": "on", "action": "coffee"}
    finance = Group.objects.get(name="finance")
    assert staff.post(change_page(renter), padding | sent | INLINE | {"groups": [finance.pk]}).status_code == 302
    entry = act()
    assert (entry.object_type, entry.object_id) == ("marketplace_user_change", str(renter.pk))
    assert entry.message.startswith(change_page(renter))
    assert entry.details["fields"]["is_superuser"] == "on"
    assert entry.details["fields_dropped"] > 200
    changed = AuditEntry.objects.get(action="account.changed")
    assert (changed.actor, changed.account) == (boss, renter)
    assert changed.details["changes"] == {
        "email": ["renter@example.com", "new@example.com"],
        "is_superuser": [False, True],
        "roles": [[], ["finance"]],
    }


def test_when_somebody_agreed_is_a_fact_that_no_form_changes(staff: Client, renter: User) -> None:
    agreed_at = T0.replace(microsecond=123_456)
    User.objects.filter(pk=renter.pk).update(host_agreement_accepted_at=agreed_at)
    told = {"host_agreement_accepted_at_0": "2020-01-01", "host_agreement_accepted_at_1": "00:00:00"}
    staff.post(
        change_page(renter), {"email": renter.email, "full_name": "Another", "is_active": "on", **INLINE, **told}
    )
    renter.refresh_from_db()
    assert (renter.full_name, renter.host_agreement_accepted_at) == ("Another", agreed_at)
    assert "agreement" not in AuditEntry.objects.get(action="account.changed").message


def test_what_changes_nothing_leaves_no_entry_of_a_change(staff: Client, renter: User) -> None:
    assert staff.post(change_page(renter), {"email": renter.email, "is_active": "on"} | INLINE).status_code == 302
    assert not AuditEntry.objects.filter(action="account.changed").exists()


def test_an_account_that_staff_make_is_written_down(staff: Client, boss: User) -> None:
    sent = {"email": "made@example.com", "password1": "a-new-secret-phrase", "password2": "a-new-secret-phrase"}
    added = staff.post(reverse("admin:marketplace_user_add"), sent | INLINE | {"usable_password": "true"})
    assert added.status_code == 302
    entry = AuditEntry.objects.get(action="account.created")
    assert (entry.actor, entry.account) == (boss, User.objects.get(email="made@example.com"))


def test_all_rows_of_a_list_are_counted_as_the_filter_has_them(staff: Client, agent: TestAgent) -> None:
    for _ in range(2):
        market.listed_machine(agent.machine.host)
    market.listed_machine()
    listed = reverse("admin:hosting_machine_changelist")
    query = f"?host__id__exact={agent.machine.host_id}"
    sent = {"action": "benchmark", "_selected_action": [agent.machine.pk], "select_across": "1"}
    staff.post(listed + query, sent)
    details = act().details
    assert (details["all"], details["chosen_count"], details["address"]) == (True, 3, listed + query)


def test_of_two_actions_that_are_sent_both_are_told(staff: Client, agent: TestAgent) -> None:
    listed = reverse("admin:hosting_machine_changelist")
    staff.post(listed, {"action": ["verify", "unlist"], "index": "0", "_selected_action": [agent.machine.pk]})
    assert act().message == f"{listed} verify, unlist"
    assert act().details["fields"]["index"] == "0"


def test_nobody_edits_the_audit_log_in_the_administration(staff: Client, boss: User, renter: User) -> None:
    account_suspend(user_id=renter.pk, actor=boss, reason="Fraud.", now=T0)
    entry = AuditEntry.objects.first()
    assert entry is not None
    change = reverse("admin:marketplace_auditentry_change", args=[entry.pk])
    assert staff.post(change, {"message": "x"}).status_code == 403
    delete = reverse("admin:marketplace_auditentry_delete", args=[entry.pk])
    assert staff.post(delete, {"post": "yes"}).status_code == 403


def test_a_second_factor_that_staff_take_away_is_written_down(staff: Client, boss: User, renter: User) -> None:
    factor = Authenticator.objects.create(user=renter, type=Authenticator.Type.TOTP, data={"secret": "JBSWY3DP"})
    page = reverse("admin:mfa_authenticator_change", args=[factor.pk])
    assert b"JBSWY3DP" not in staff.get(page).content
    staff.post(reverse("admin:mfa_authenticator_delete", args=[factor.pk]), {"post": "yes"})
    entry = AuditEntry.objects.get(action="second_factor.removed")
    assert (entry.actor, entry.account, Authenticator.objects.count()) == (boss, renter, 0)


def test_sign_ins_and_failures_are_written_down(client: Client, boss: User, settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    settings.ACCOUNT_EMAIL_VERIFICATION = "none"
    login = reverse("account_login")
    client.post(login, {"login": boss.email, "password": "wrong"}, REMOTE_ADDR="203.0.113.9")
    client.post(login, {"login": boss.email, "password": "a-long-enough-phrase"})
    client.post(reverse("account_logout"))
    failed, came, left = AuditEntry.objects.order_by("pk")
    assert (failed.action, failed.account, failed.message, failed.address) == (
        "sign_in.failed",
        boss,
        boss.email,
        "203.0.113.9",
    )
    assert [came.action, left.action, left.account] == ["sign_in", "sign_out", boss]


def test_signing_up_is_written_down(client: Client, settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    phrase = "a-long-enough-phrase"
    client.post(reverse("account_signup"), {"email": "ann@example.com", "password1": phrase, "password2": phrase})
    entry = AuditEntry.objects.get(action="account.created")
    assert entry.account == User.objects.get(email="ann@example.com")


@pytest.mark.parametrize("action", ["email.added", "email.removed"])
def test_addresses_that_come_and_go_are_written_down(renter: User, action: str) -> None:
    signal = {"email.added": account_signals.email_added, "email.removed": account_signals.email_removed}[action]
    address = EmailAddress(user=renter, email="second@example.com")
    signal.send(sender=EmailAddress, request=RequestFactory().get("/"), user=renter, email_address=address)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.account, entry.message) == (action, renter, "second@example.com")


def test_a_first_password_is_written_down(renter: User) -> None:
    account_signals.password_set.send(sender=User, request=RequestFactory().get("/"), user=renter)
    assert AuditEntry.objects.get().action == "password.set"
