"""Staff see the site as a client does: what they see, what they don't, and when it ends."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from hosting.services.idle_jobs import idle_job_set
from marketplace.domain.templates import TemplateContent
from marketplace.models import AuditEntry, Instance, User
from marketplace.services.rent import instance_rent
from marketplace.services.suspensions import account_suspend
from marketplace.services.templates import template_create
from marketplace.services.webhooks import webhook_set
from marketplace.web.impersonation import PAGES
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


@pytest.fixture
def helper() -> User:
    """Of the support."""
    account = market.user("helper@example.com")
    account.is_staff = True
    account.save()
    account.groups.add(Group.objects.get(name="support"))
    return account


@pytest.fixture
def staff(client: Client, helper: User) -> Client:
    client.force_login(helper)
    return client


@pytest.fixture
def rental(agent: TestAgent, renter: User) -> Instance:
    """Runs with a secret in its environment."""
    wish = market.wish(env={"TOKEN": "hunter2"})
    instance = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=wish, now=T0)
    agent.obey(T0)
    return instance


def text(page: object) -> str:
    return unescape(page.content.decode())  # type: ignore[attr-defined]  # a response of the test client


def see(staff: Client, account: User) -> None:
    """Begin to see the site as the account."""
    sent = staff.post(reverse("staff:account_see", args=[account.pk]), {"reason": "Ticket 7."}, follow=True)
    assert sent.redirect_chain == [("/instances/", 302)]


def is_seen(staff: Client, account: User) -> bool:
    return staff.session.get("_auth_user_id") == str(account.pk)


def test_staff_see_the_site_as_a_client_and_change_nothing(
    staff: Client, helper: User, renter: User, rental: Instance
) -> None:
    page = reverse("staff:account_see", args=[renter.pk])
    assert "Nothing can be changed" in text(staff.get(page))
    assert staff.post(page, {"reason": ""}).status_code == 422
    see(staff, renter)
    shown = text(staff.get(reverse("instance", args=[rental.pk])))
    assert ("You see the site as" in shown, "TOKEN=" in shown, "hunter2" in shown) == (True, True, False)
    refused = staff.post(reverse("instance_destroy", args=[rental.pk]), follow=True)
    assert "Nothing can be changed in somebody else's name." in text(refused)
    assert Instance.objects.get(pk=rental.pk).state == "running"
    part = staff.post(reverse("instance_stop", args=[rental.pk]), headers={"HX-Request": "true"})
    assert (part.status_code, "toast" in part.headers["HX-Trigger"]) == (403, True)
    assert staff.get("/admin/").status_code == 302
    back = reverse("admin:marketplace_user_change", args=[renter.pk])
    assert staff.post(reverse("hijack:release"), {"next": back}, follow=True).redirect_chain == [(back, 302)]
    begun, ended = AuditEntry.objects.filter(action__startswith="impersonation").order_by("pk")
    assert (begun.actor, begun.account_id, begun.message) == (helper, renter.pk, "Ticket 7.")
    assert (ended.action, ended.actor) == ("impersonation.ended", helper)


def test_what_may_show_secrets_is_for_the_owner_alone(
    staff: Client, renter: User, agent: TestAgent, rental: Instance
) -> None:
    content = TemplateContent(name="Trainer", image="pytorch/pytorch", env={"KEY": "hunter3"}, onstart="hunter4")
    private = template_create(owner=renter, content=content, private=True, now=T0)
    see(staff, renter)
    for secret in (
        reverse("instance_connect", args=[rental.pk]),
        reverse("instance_logs", args=[rental.pk]),
        reverse("template", args=[private.pk]),
        reverse("mfa_view_recovery_codes"),
        "/accounts/email/",
        f"{reverse('rent', args=[market.offer(agent).pk])}?template={private.hash_id}",
    ):
        shown = text(staff.get(secret, follow=True))
        assert ("for the owner alone" in shown, "hunter" in shown) == (True, False), secret


def test_of_webhooks_and_idle_jobs_the_secret_parts_are_not_shown(staff: Client, agent: TestAgent) -> None:
    host = agent.machine.host
    webhook_set(user=host, url="https://hooks.example.com/hunter2", now=T0)
    job = {"image": "ubuntu", "args": ["mine", "--key=hunter3"], "price_micros_per_gpu_hour": 1}
    idle_job_set(machine_id=agent.machine.pk, host=host, now=T0, **job)  # type: ignore[arg-type]  # mixed on purpose
    see(staff, host)
    account, jobs = text(staff.get(reverse("account"))), text(staff.get(reverse("host_jobs")))
    assert ("https://hooks.example.com/…" in account, "ubuntu" in jobs) == (True, True)
    assert "hunter" not in account + jobs


def _names(patterns: Iterable[object]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern.name or ""
        elif not getattr(pattern, "namespace", None):
            yield from _names(pattern.url_patterns)  # type: ignore[attr-defined]  # a resolver


def test_every_page_that_is_shown_exists() -> None:
    assert set(_names(get_resolver().url_patterns)) >= PAGES


def test_nobody_sees_the_site_as_staff(staff: Client, helper: User) -> None:
    boss = User.objects.create_superuser("boss@example.com", "a-long-enough-phrase")
    answer = staff.post(reverse("staff:account_see", args=[boss.pk]), {"reason": "Curious."})
    assert (answer.status_code, "can't be looked at this way" in text(answer)) == (422, True)
    assert is_seen(staff, helper)


def test_nobody_sees_the_site_without_the_right(client: Client, helper: User, renter: User) -> None:
    helper.groups.clear()
    client.force_login(helper)
    for name in ("account_see", "account_suspend", "account_timeline"):
        assert client.get(reverse(f"staff:{name}", args=[renter.pk])).status_code == 403
    assert client.post("/hijack/acquire/", {"user_pk": renter.pk}).status_code == 404
    assert Client().get(reverse("staff:account_timeline", args=[renter.pk])).status_code == 302


def test_the_account_in_the_address_is_the_one_that_is_seen(staff: Client, renter: User, stranger: User) -> None:
    page = reverse("staff:account_see", args=[renter.pk])
    staff.post(page, {"reason": "Ticket 7.", "user_pk": stranger.pk})
    assert is_seen(staff, renter)
    assert AuditEntry.objects.get(action="impersonation.begun").account == renter


def _suspended(helper: User) -> None:
    boss = User.objects.create_superuser("boss@example.com", "a-long-enough-phrase")
    account_suspend(user_id=helper.pk, actor=boss, reason="Gone.", now=T0)


def _demoted(helper: User) -> None:
    helper.groups.clear()


def _no_staff_any_more(helper: User) -> None:
    User.objects.filter(pk=helper.pk).update(is_staff=False)


def _deactivated(helper: User) -> None:
    User.objects.filter(pk=helper.pk).update(is_active=False)


@pytest.mark.parametrize("become", [_suspended, _demoted, _no_staff_any_more, _deactivated])
def test_it_ends_with_the_right_to_it(
    staff: Client, helper: User, renter: User, become: Callable[[User], None]
) -> None:
    see(staff, renter)
    become(helper)
    assert staff.get(reverse("instances")).headers["Location"] == "/accounts/login/"
    assert "_auth_user_id" not in staff.session
    ended = AuditEntry.objects.get(action="impersonation.ended")
    assert (ended.actor, ended.account, ended.message) == (helper, renter, "by the marketplace")


def test_it_ends_when_the_account_becomes_staff(staff: Client, renter: User) -> None:
    see(staff, renter)
    User.objects.filter(pk=renter.pk).update(is_staff=True)
    assert staff.get(reverse("instances")).headers["Location"] == "/accounts/login/"


def test_it_ends_after_an_hour(staff: Client, renter: User) -> None:
    see(staff, renter)
    with time_machine.travel(T0 + timedelta(minutes=59), tick=False):
        assert staff.get(reverse("instances")).status_code == 200
    with time_machine.travel(T0 + timedelta(minutes=60), tick=False):
        over = staff.get(reverse("instances"), follow=True)
    assert "You don't see the site as somebody else any more" in text(over)
    assert "_auth_user_id" not in staff.session


def test_a_session_that_does_not_know_since_when_ends(staff: Client, renter: User) -> None:
    see(staff, renter)
    session = staff.session
    del session["seen_since"]
    session.save()
    assert staff.get(reverse("instances")).headers["Location"] == "/accounts/login/"
