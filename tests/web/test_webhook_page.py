"""The webhook on the account page."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from marketplace.models import Instance, User, Webhook, WebhookDelivery
from marketplace.services.notices import notice_post
from marketplace.services.rent import instance_rent
from marketplace.services.webhook_deliveries import webhooks_deliver
from marketplace.services.webhooks import TESTS_PER_MINUTE, webhook_set
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.plumbing.receiver import Receiver, receiving
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

URL = "https://hooks.example.com/spotyard/secret-path"


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    settings.WEBHOOK_ALLOW_PRIVATE = True
    with receiving() as running:
        yield running


@pytest.fixture
def instance(agent: TestAgent, renter: User) -> Instance:
    return instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)


def tell(instance: Instance, key: str) -> None:
    notice_post(instance=instance, kind="outbid", key=key, subject="Outbid", text="Others bid more.", now=T0)


def deliver(seconds: float = 0) -> int:
    return webhooks_deliver(now=T0 + timedelta(seconds=seconds), fraction=lambda: 0.0)


def test_the_secret_is_shown_once(web: Client, renter: User) -> None:
    assert "Rotate" not in text(web.get("/account/"))
    made = web.post("/account/webhook/", {"url": URL})
    webhook = Webhook.objects.get(user=renter)
    assert webhook.secret in text(made)
    page = web.get("/account/")
    assert webhook.secret not in page.content.decode()
    assert f'value="{URL}"' in page.content.decode()
    assert "No events yet." in text(page)


def test_rotating_shows_another_secret(web: Client, renter: User) -> None:
    old = webhook_set(user=renter, url=URL, now=T0)
    shown = text(web.post("/account/webhook/rotate/"))
    new = Webhook.objects.get().secret
    assert new != old
    assert new in shown
    assert old not in shown


def test_changing_the_url_keeps_the_secret(web: Client, renter: User) -> None:
    secret = webhook_set(user=renter, url=URL, now=T0)
    answer = web.post("/account/webhook/", {"url": URL + "2"}, follow=True)
    assert "Saved. Events go to this URL from now on." in text(answer)
    webhook = Webhook.objects.get()
    assert (webhook.url, webhook.secret) == (URL + "2", secret)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "Give the URL that events are sent to."),
        ("not a url", "The URL contains spaces"),
        ("example.com", "must begin with https://"),
        ("https://user:pw@example.com/", "Leave user name and password out"),
        ("http://127.0.0.1:8000/admin/", "This address is not public."),
        ("http://[::ffff:169.254.169.254]/latest/", "This address is not public."),
        ("https://" + "x" * 3000, "longer than 2000 characters"),
        ("https://example.com/\0", "Null characters are not allowed."),
    ],
)
def test_rubbish_is_refused_beside_the_field(web: Client, typed: str, message: str) -> None:
    response = web.post("/account/webhook/", {"url": typed})
    assert response.status_code == 422
    assert message in field_errors(response, "url")
    assert not Webhook.objects.exists()


def test_outside_of_a_demo_only_https_will_do(web: Client, settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_HTTP = False
    response = web.post("/account/webhook/", {"url": "http://hooks.example.com/"})
    assert "must begin with https://" in field_errors(response, "url")


def test_a_refused_change_leaves_the_webhook_as_it_was(web: Client, renter: User) -> None:
    webhook_set(user=renter, url=URL, now=T0)
    assert web.post("/account/webhook/", {"url": "http://10.0.0.1/"}).status_code == 422
    assert Webhook.objects.get().url == URL


def test_a_test_event_arrives_and_is_listed(web: Client, renter: User, receiver: Receiver) -> None:
    webhook_set(user=renter, url=receiver.url, now=T0)
    answer = web.post("/account/webhook/test/", follow=True)
    assert "A test event is on its way." in text(answer)
    assert "webhook.test 2 Mar 12:00:00 UTC On its way" in text(answer)
    assert deliver() == 1
    assert "webhook.test 2 Mar 12:00:00 UTC Delivered" in text(web.get("/account/webhook/deliveries/", headers=HTMX))
    assert receiver.hits[0].event["type"] == "webhook.test"


def test_test_events_are_limited(web: Client, renter: User) -> None:
    webhook_set(user=renter, url=URL, now=T0)
    for _ in range(TESTS_PER_MINUTE):
        web.post("/account/webhook/test/")
    assert "enough test events" in text(
        web.post("/account/webhook/test/", follow=True, headers={"referer": "/account/"})
    )
    assert WebhookDelivery.objects.count() == TESTS_PER_MINUTE
    with time_machine.travel(T0 + timedelta(minutes=1, seconds=1), tick=False):
        web.post("/account/webhook/test/")
    assert WebhookDelivery.objects.count() == TESTS_PER_MINUTE + 1


def test_deliveries_show_how_they_fare(web: Client, renter: User, instance: Instance, receiver: Receiver) -> None:
    webhook_set(user=renter, url=receiver.url, now=T0)
    receiver.statuses = [200, 500]
    for key in ("one", "two"):
        tell(instance, key)
    while deliver():
        pass
    shown = text(web.get("/account/"))
    assert f"instance.outbid instance {instance.pk} 2 Mar 12:00:00 UTC Delivered" in shown
    assert f"instance.outbid instance {instance.pk} 2 Mar 12:00:00 UTC. Answered 500. Retry in 5 s" in shown
    assert "Failing since 2 Mar 2026 12:00 UTC. Answered 500." in shown
    WebhookDelivery.objects.filter(delivered_at=None).update(next_attempt_at=None, given_up_at=T0)
    assert "Answered 500. Given up" in text(web.get("/account/"))
    assert f'href="/instances/{instance.pk}/"' in web.get("/account/").content.decode()
    Instance.objects.update(state="destroyed")
    assert f'href="/instances/{instance.pk}/"' not in web.get("/account/").content.decode()


def test_a_webhook_that_was_switched_off_says_so_and_comes_back(web: Client, renter: User) -> None:
    webhook_set(user=renter, url=URL, now=T0)
    Webhook.objects.update(active=False, disabled_at=T0, disabled_reason="It failed.", last_error="Answered 500.")
    assert "Switched off on 2 Mar 2026 12:00 UTC. It failed. Answered 500." in text(web.get("/account/"))
    refused = web.post("/account/webhook/test/", follow=True, headers={"referer": "/account/"})
    assert "The webhook is switched off." in text(refused)
    web.post("/account/webhook/", {"url": URL})
    assert Webhook.objects.get().active
    assert "Switched off" not in text(web.get("/account/"))


def test_removing_forgets_url_and_secrets(web: Client, renter: User, instance: Instance) -> None:
    secret = webhook_set(user=renter, url=URL, now=T0)
    assert web.post("/account/webhook/remove/").status_code == 302
    tell(instance, "later")
    assert not WebhookDelivery.objects.exists()
    page = web.get("/account/").content.decode()
    assert URL not in page
    webhook = Webhook.objects.get()
    assert (webhook.url, webhook.secret, webhook.previous_secret) == ("", "", "")
    assert web.post("/account/webhook/", {"url": URL}).context["new_webhook_secret"] not in ("", secret)


@pytest.mark.parametrize("action", ["rotate", "remove", "test"])
def test_without_a_webhook_there_is_nothing_to_do(web: Client, other_web: Client, stranger: User, action: str) -> None:
    secret = webhook_set(user=stranger, url=URL, now=T0)
    assert web.post(f"/account/webhook/{action}/").status_code == 404
    assert list(Webhook.objects.values_list("url", "secret")) == [(URL, secret)]
    assert URL not in web.get("/account/webhook/deliveries/").content.decode()
    assert URL in other_web.get("/account/").content.decode()


@pytest.mark.parametrize("path", ["", "rotate/", "remove/", "test/", "deliveries/"])
def test_strangers_are_sent_to_the_sign_in_page(client: Client, path: str) -> None:
    method = client.get if path == "deliveries/" else client.post
    assert method(f"/account/webhook/{path}").headers["Location"].startswith("/accounts/login/")


def test_staff_see_deliveries_and_no_secrets(client: Client, renter: User, instance: Instance) -> None:
    secret = webhook_set(user=renter, url=URL, now=T0)
    tell(instance, "one")
    client.force_login(User.objects.create_superuser("staff@example.com", "pass"))
    for model, row in (("notice", instance.notices.get()), ("webhook", Webhook.objects.get())):
        pages = [
            client.get(reverse(f"admin:marketplace_{model}_changelist")),
            client.get(reverse(f"admin:marketplace_{model}_change", args=[row.pk])),
        ]
        assert [page.status_code for page in pages] == [200, 200]
        assert not any(secret in page.content.decode() or "secret-path" in page.content.decode() for page in pages)
    assert "hooks.example.com" in text(client.get(reverse("admin:marketplace_webhook_changelist")))
    delivery = WebhookDelivery.objects.get()
    assert client.get(reverse("admin:marketplace_webhookdelivery_change", args=[delivery.pk])).status_code == 200
    assert "instance.outbid" in text(client.get(reverse("admin:marketplace_webhookdelivery_changelist")))
