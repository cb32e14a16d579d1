"""What members of the staff may do who are no superusers, by the role that they hold."""

from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from billing import services
from billing.models import AdjustmentRequest
from hosting.models import Machine
from marketplace.domain.roles import ROLES, permissions_of
from marketplace.models import User
from marketplace.services.roles import roles_sync
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


def staff_with(role: str) -> tuple[User, Client]:
    """A member of the staff and a browser."""
    account = market.user(f"{role}@example.com")
    account.is_staff = True
    account.save()
    account.groups.add(Group.objects.get(name=role))
    browser = Client()
    browser.force_login(account)
    return account, browser


def change_page(account: User) -> str:
    return reverse("admin:marketplace_user_change", args=[account.pk])


def asked_for(owner: User) -> AdjustmentRequest:
    """An adjustment that a colleague asks for."""
    colleague = market.user()
    colleague.is_staff = True
    colleague.save()
    return services.adjustment_request(
        kind="adjustment",
        owner=owner,
        account_kind="client_credit",
        amount_micros=1,
        actor=colleague,
        reason="Counted twice",
        key=uuid4(),
        now=T0,
    )


@pytest.mark.parametrize("role", ROLES)
def test_every_role_consists_of_permissions_that_there_are(role: str) -> None:
    existing = [f"{p.content_type.app_label}.{p.codename}" for p in Permission.objects.select_related("content_type")]
    for pattern in ROLES[role]:
        assert [name for name in existing if permissions_of(role, [name])], pattern
    held = {f"{p.content_type.app_label}.{p.codename}" for p in Group.objects.get(name=role).permissions.all()}
    assert held == permissions_of(role, existing)
    assert not held & {"marketplace.add_user", "account.change_emailaddress", "mfa.view_authenticator"}


def test_roles_become_again_what_the_code_says() -> None:
    auditor = Group.objects.get(name="auditor")
    auditor.permissions.add(Permission.objects.get(codename="change_payout"))
    roles_sync()
    assert not auditor.permissions.filter(codename="change_payout").exists()


def test_support_changes_names_and_neither_rights_nor_what_somebody_signs_in_with(renter: User) -> None:
    _, browser = staff_with("support")
    page = browser.get(change_page(renter))
    assert (page.status_code, b"../password/" in page.content, b"md5$" in page.content) == (200, False, False)
    sent = {
        "full_name": "Renata",
        "email": "mine@example.com",
        "is_staff": "on",
        "is_superuser": "on",
        "groups": [Group.objects.get(name="finance").pk],
    }
    inline = {f"ssh_keys-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    assert browser.post(change_page(renter), sent | inline).status_code == 302
    before = renter.password
    renter.refresh_from_db()
    assert (renter.full_name, renter.email, renter.is_staff) == ("Renata", "renter@example.com", False)
    assert (renter.is_active, renter.is_superuser, renter.groups.count()) == (True, False, 0)
    password = reverse("admin:auth_user_password_change", args=[renter.pk])
    assert browser.get(password).status_code == 403
    assert browser.post(password, {"password1": "a-new-phrase-1", "password2": "a-new-phrase-1"}).status_code == 403
    assert browser.get(reverse("admin:marketplace_user_add")).status_code == 403
    renter.refresh_from_db()
    assert renter.password == before


def test_support_changes_nothing_of_staff_nor_of_itself() -> None:
    account, browser = staff_with("support")
    boss = User.objects.create_superuser("boss@example.com", "a-long-enough-phrase")
    for colleague in (account, boss):
        assert browser.get(change_page(colleague)).status_code == 200
        assert browser.post(change_page(colleague), {"full_name": "X", "is_superuser": "on"}).status_code == 403
    account.refresh_from_db()
    assert (account.full_name, account.is_superuser) == ("", False)


def test_support_sees_the_site_as_clients_but_suspends_nobody(renter: User, agent: TestAgent) -> None:
    _, browser = staff_with("support")
    for name in ("account_see", "account_timeline"):
        assert browser.get(reverse(f"staff:{name}", args=[renter.pk])).status_code == 200
    assert browser.get(reverse("staff:machine_timeline", args=[agent.machine.pk])).status_code == 200
    for name, pk in (
        ("account_suspend", renter.pk),
        ("account_restore", renter.pk),
        ("machine_suspend", agent.machine.pk),
        ("machine_restore", agent.machine.pk),
    ):
        assert browser.post(reverse(f"staff:{name}", args=[pk]), {"reason": "Spite."}).status_code == 403
    renter.refresh_from_db()
    assert renter.suspended_at is None
    page = browser.get(change_page(renter)).content.decode()
    assert ("Timeline" in page, "See the site as" in page, ">Suspend<" in page) == (True, True, False)


def test_trust_suspends_clients_and_machines_but_sees_the_site_as_nobody(renter: User, agent: TestAgent) -> None:
    _, browser = staff_with("trust")
    assert browser.post(reverse("staff:account_suspend", args=[renter.pk]), {"reason": "Fraud."}).status_code == 302
    machine = reverse("staff:machine_suspend", args=[agent.machine.pk])
    assert browser.post(machine, {"reason": "Cheats."}).status_code == 302
    assert browser.post(reverse("staff:account_restore", args=[renter.pk])).status_code == 302
    assert browser.get(reverse("staff:account_see", args=[renter.pk])).status_code == 403


def test_staff_are_suspended_and_let_back_by_superusers_alone() -> None:
    _, browser = staff_with("trust")
    colleague, _ = staff_with("finance")
    for name in ("account_suspend", "account_restore"):
        answer = browser.post(reverse(f"staff:{name}", args=[colleague.pk]), {"reason": "Spite."})
        assert (answer.status_code, b"staff are for superusers" in answer.content) == (422, True)


def test_finance_decides_about_money_and_an_auditor_does_not(renter: User) -> None:
    asked = asked_for(renter)
    listed = reverse("admin:billing_adjustmentrequest_changelist")
    approve = {"action": "approve", ACTION_CHECKBOX_NAME: [asked.pk]}
    for role, state in (("auditor", "requested"), ("support", "requested"), ("finance", "posted")):
        _, browser = staff_with(role)
        assert browser.get(listed).status_code == 200
        browser.post(listed, approve)
        asked.refresh_from_db()
        assert asked.state == state, role


def test_an_auditor_releases_no_payouts_and_verifies_no_machine(agent: TestAgent) -> None:
    _, browser = staff_with("auditor")
    machines = reverse("admin:hosting_machine_changelist")
    browser.post(machines, {"action": "verify", ACTION_CHECKBOX_NAME: [agent.machine.pk]})
    assert Machine.objects.get().verification == "unverified"
    assert b'value="release"' not in browser.get(reverse("admin:billing_payout_changelist")).content
    assert browser.get(reverse("admin:billing_creditgrant_add")).status_code == 403


@pytest.mark.parametrize("role", ROLES)
def test_no_role_confirms_addresses_or_sees_second_factors(role: str, renter: User) -> None:
    address = EmailAddress.objects.create(user=renter, email="mine@example.com", verified=False)
    _, browser = staff_with(role)
    listed = reverse("admin:account_emailaddress_changelist")
    browser.post(listed, {"action": "make_verified", ACTION_CHECKBOX_NAME: [address.pk]})
    address.refresh_from_db()
    assert not address.verified
    assert browser.get(reverse("admin:mfa_authenticator_changelist")).status_code == 403


def test_no_action_in_the_administration_needs_only_the_right_to_look() -> None:
    for model, page in admin.site._registry.items():
        names = [*(page.actions or ()), *getattr(page, "actions_detail", ())]
        for name in names:
            needed = getattr(getattr(page, name), "allowed_permissions", ())
            assert needed, f"{model.__name__}: {name}"
            assert "view" not in needed, f"{model.__name__}: {name}"
            for permission in needed:
                assert hasattr(page, f"has_{permission}_permission"), f"{model.__name__}: {name}"


def test_a_superuser_gives_roles_in_the_form(client: Client, renter: User) -> None:
    client.force_login(User.objects.create_superuser("boss@example.com", "a-long-enough-phrase"))
    support = Group.objects.get(name="support")
    sent = {"email": renter.email, "is_active": "on", "is_staff": "on", "groups": [support.pk]}
    inline = {f"ssh_keys-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    assert client.post(change_page(renter), sent | inline).status_code == 302
    renter.refresh_from_db()
    assert (renter.is_staff, renter.is_superuser, list(renter.groups.all())) == (True, False, [support])
    assert renter.has_perm("marketplace.impersonate_account")
