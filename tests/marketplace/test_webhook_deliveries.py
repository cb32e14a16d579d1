"""Events reach clients' servers signed, at least once, whatever workers and receivers do."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail

from marketplace.domain.retries import ATTEMPTS, WAITS_SECONDS, next_wait
from marketplace.gateways import webhooks as gateway
from marketplace.locks import OUTBOUND_RUN, sole_run
from marketplace.models import Instance, Notice, Webhook, WebhookDelivery
from marketplace.services.webhook_deliveries import LEASE, deliveries_claim, delivery_record
from marketplace.services.webhooks import webhook_remove, webhook_rotate, webhook_set, webhook_test
from marketplace.tasks import deliver_webhooks, send_notice_mails
from tests.billing.racing import elsewhere, race
from tests.marketplace.telling import after, deliver, rented, send_mails, tell, transactions_open
from tests.plumbing.market import T0
from tests.plumbing.receiver import Receiver, receiving

pytestmark = pytest.mark.django_db


# --- webhooks: what is sent ------------------------------------------------------------------------------------------


def test_an_event_arrives_signed(instance: Instance, receiver: Receiver, secret: str) -> None:
    notice = tell(instance, data={"bid": 0.5, "end_at": T0})
    assert notice is not None
    assert deliver(after(1)) == 1
    (hit,) = receiver.hits
    assert hit.path == "/hook?a=1"
    assert hit.event == {
        "id": f"ntc_{notice.pk}",
        "type": "instance.outbid",
        "created_at": "2026-03-02T12:00:00Z",
        "data": {
            "instance_id": instance.pk,
            "label": "nightly",
            "machine_id": instance.machine_id,
            "state": "loading",
            "message": "Others bid more.",
            "bid": 0.5,
            "end_at": "2026-03-02T12:00:00Z",
        },
    }
    assert hit.headers["webhook-id"] == f"ntc_{notice.pk}"
    assert hit.headers["webhook-timestamp"] == str(int(after(1).timestamp()))
    assert (hit.headers["host"], hit.headers["content-type"]) == (f"127.0.0.1:{receiver.port}", "application/json")
    assert secret.startswith("whsec_")
    assert hit.signed_with(secret)
    delivery = WebhookDelivery.objects.get()
    assert (delivery.delivered_at, delivery.last_status, delivery.next_attempt_at) == (after(1), 200, None)
    assert Webhook.objects.get().last_success_at == after(1)
    assert deliver(after(2)) == 0


def test_words_outside_ascii_are_signed_as_they_are_sent(instance: Instance, receiver: Receiver, secret: str) -> None:
    tell(instance, text='\u00fcberboten \N{SNOWMAN}\n"quoted"')
    deliver()
    assert receiver.hits[0].signed_with(secret)
    assert receiver.hits[0].event["data"]["message"] == '\u00fcberboten \N{SNOWMAN}\n"quoted"'


def test_after_a_rotation_both_secrets_sign_for_a_day(instance: Instance, receiver: Receiver, secret: str) -> None:
    new = webhook_rotate(user=instance.client, now=T0)
    for key, seconds in (("a", 1), ("b", 24 * 3600)):
        tell(instance, key=key, now=after(seconds))
        deliver(after(seconds))
    first, second = receiver.hits
    assert [first.signed_with(secret), first.signed_with(new)] == [True, True]
    assert [second.signed_with(secret), second.signed_with(new)] == [False, True]


def test_a_test_event_is_tried_once_and_counts_for_nothing(instance: Instance, receiver: Receiver, secret: str) -> None:
    receiver.statuses = [404]
    webhook_test(user=instance.client, now=T0)
    deliver()
    delivery, webhook = WebhookDelivery.objects.get(), Webhook.objects.get()
    assert receiver.hits[0].event["type"] == "webhook.test"
    assert receiver.hits[0].signed_with(secret)
    assert (delivery.given_up_at, delivery.last_error) == (T0, "Answered 404.")
    assert (webhook.consecutive_failures, webhook.failing_since) == (0, None)


# --- webhooks: retries -----------------------------------------------------------------------------------------------


def test_failures_are_retried_with_growing_pauses_then_given_up(
    instance: Instance, receiver: Receiver, secret: str
) -> None:
    receiver.statuses = [500, 503, 404, 301, 400, 429, 500, 500, 500]
    tell(instance)
    now = T0
    for pause in WAITS_SECONDS:
        assert deliver(now) == 1
        assert deliver(now + timedelta(seconds=pause - 0.001)) == 0
        now += timedelta(seconds=pause)
    assert deliver(now) == 1
    delivery = WebhookDelivery.objects.get()
    assert (delivery.given_up_at, delivery.next_attempt_at, delivery.attempts) == (now, None, ATTEMPTS)
    assert deliver(now + timedelta(days=9)) == 0
    assert len(receiver.hits) == ATTEMPTS
    assert len({hit.headers["webhook-id"] for hit in receiver.hits}) == 1
    assert len({hit.body for hit in receiver.hits}) == 1
    assert all(hit.signed_with(secret) for hit in receiver.hits)
    webhook = Webhook.objects.get()
    assert (webhook.given_up_in_row, webhook.failing_since, webhook.active) == (1, T0, True)


@pytest.mark.usefixtures("secret")
def test_a_success_clears_the_record(instance: Instance, receiver: Receiver) -> None:
    receiver.statuses = [500, 204]
    tell(instance)
    deliver()
    assert Webhook.objects.get().last_error == "Answered 500."
    deliver(after(5))
    webhook, delivery = Webhook.objects.get(), WebhookDelivery.objects.get()
    assert (webhook.consecutive_failures, webhook.failing_since, webhook.last_error) == (0, None, "")
    assert (delivery.delivered_at, delivery.attempts, delivery.last_status) == (after(5), 2, 204)


def test_jitter_adds_to_the_pause() -> None:
    assert next_wait(1, 0.0) == timedelta(seconds=5)
    assert next_wait(1, 1.0) == timedelta(seconds=6)
    assert next_wait(ATTEMPTS, 0.5) is None


@pytest.mark.usefixtures("secret")
def test_a_receiver_that_fails_for_days_is_switched_off_and_its_owner_told(
    instance: Instance, receiver: Receiver
) -> None:
    receiver.statuses = [500] * 1000

    def give_up(key: str, start: datetime) -> datetime:
        tell(instance, key=key, now=start)
        now = start
        for pause in WAITS_SECONDS:
            deliver(now)
            now += timedelta(seconds=pause)
        deliver(now)
        return now

    for number in range(5):
        end = give_up(f"a{number}", after(number))
    assert Webhook.objects.get().active  # five events, but all within half a day
    tell(instance, key="waits", now=end + timedelta(hours=1))
    end = give_up("b", end + timedelta(hours=13))
    webhook = Webhook.objects.get()
    assert (webhook.active, webhook.disabled_at) == (False, end)
    assert "could not be delivered" in webhook.disabled_reason
    assert not WebhookDelivery.objects.filter(next_attempt_at__isnull=False).exists()
    notice = Notice.objects.get(kind="webhook_disabled")
    assert (notice.client, notice.instance) == (instance.client, None)
    assert tell(instance, key="later", now=end) is not None
    assert WebhookDelivery.objects.filter(notice__key="later").count() == 0
    Notice.objects.exclude(pk=notice.pk).update(mail_next_at=None)
    assert send_mails(end) == 1
    assert "switched off" in mail.outbox[0].subject
    assert mail.outbox[0].body.endswith("/account/\n")


def test_a_corrected_url_gets_what_waits_and_a_removed_one_nothing(
    instance: Instance, receiver: Receiver, secret: str
) -> None:
    receiver.statuses = [500, 500]
    tell(instance)
    deliver()
    wrong = receiver.url
    assert webhook_set(user=instance.client, url=wrong.replace("/hook", "/right"), now=after(1)) == ""
    assert Webhook.objects.get().consecutive_failures == 0
    tell(instance, key="second", now=after(1))
    deliver(after(5))
    assert sorted(hit.path for hit in receiver.hits) == ["/hook?a=1", "/right?a=1", "/right?a=1"]
    webhook_remove(user=instance.client, now=after(6))
    assert deliver(after(9999)) == 0
    assert WebhookDelivery.objects.filter(last_error="The webhook was removed.").count() == 1
    assert webhook_set(user=instance.client, url=wrong, now=after(7)) not in ("", secret)
    assert deliver(after(9999)) == 0


# --- webhooks: workers -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("secret")
def test_a_killed_workers_attempt_is_made_again_with_the_same_id(instance: Instance, receiver: Receiver) -> None:
    tell(instance)
    (claimed,) = deliveries_claim(now=T0, limit=9, failing=False)
    parcel = gateway.Parcel(claimed.webhook.url, claimed.message_id, claimed.body, (claimed.webhook.secret,), T0)
    assert gateway.send(parcel, allow_private=True).delivered  # and here the worker dies
    assert deliver(T0 + LEASE - timedelta(seconds=1)) == 0
    assert deliver(T0 + LEASE) == 1
    first, second = receiver.hits
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert WebhookDelivery.objects.get().delivered_at == T0 + LEASE


@pytest.mark.usefixtures("secret")
def test_a_late_word_of_a_lost_attempt_changes_no_newer_one(instance: Instance) -> None:
    tell(instance)
    (lost,) = deliveries_claim(now=T0, limit=9, failing=False)
    (newer,) = deliveries_claim(now=T0 + LEASE, limit=9, failing=False)
    failed, arrived = gateway.Outcome(500, "Answered 500."), gateway.Outcome(200, "")
    delivery_record(delivery=lost, outcome=failed, now=after(61), fraction=0.0)
    assert WebhookDelivery.objects.get().next_attempt_at == T0 + 2 * LEASE
    delivery_record(delivery=newer, outcome=arrived, now=after(62), fraction=0.0)
    delivery_record(delivery=newer, outcome=failed, now=after(63), fraction=0.0)
    assert WebhookDelivery.objects.get().delivered_at == after(62)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("secret")
def test_two_workers_at_once_send_an_attempt_once(instance: Instance, receiver: Receiver) -> None:
    tell(instance)

    def hold() -> None:
        WebhookDelivery.objects.select_for_update().get()

    assert sorted(race(hold, [deliver, deliver, deliver])) == [0, 0, 1]
    assert len(receiver.hits) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("secret")
def test_no_transaction_is_open_while_a_receiver_is_waited_for(instance: Instance, receiver: Receiver) -> None:
    seen: list[int] = []

    def answer(handler: Any) -> None:
        seen.append(elsewhere(transactions_open))
        handler.send_response(200)
        handler.end_headers()

    receiver.answer = answer
    tell(instance)
    assert deliver() == 1
    assert seen == [0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("secret")
def test_of_the_tasks_that_send_one_runs_at_a_time(instance: Instance, receiver: Receiver) -> None:
    tell(instance)
    with sole_run(OUTBOUND_RUN):
        assert (elsewhere(deliver_webhooks), elsewhere(send_notice_mails)) == (0, 0)
    assert (elsewhere(deliver_webhooks), elsewhere(send_notice_mails)) == (1, 1)
    assert (len(receiver.hits), len(mail.outbox)) == (1, 1)


# --- webhooks: receivers of every kind -------------------------------------------------------------------------------


@pytest.mark.usefixtures("secret")
def test_a_slow_receiver_holds_up_no_other(instance: Instance, receiver: Receiver) -> None:
    other = rented()
    with receiving() as quick:
        webhook_set(user=other.client, url=quick.url, now=T0)
        tell(instance)
        tell(other, key="other")

        def answer_when_the_other_has_its_own(handler: Any) -> None:
            receiver.test_is_over.wait()
            handler.send_response(200)
            handler.end_headers()

        def release(handler: Any) -> None:
            receiver.test_is_over.set()
            handler.send_response(200)
            handler.end_headers()

        receiver.answer, quick.answer = answer_when_the_other_has_its_own, release
        assert deliver() == 2
    assert WebhookDelivery.objects.filter(delivered_at=T0).count() == 2


@pytest.mark.usefixtures("secret")
def test_failing_receivers_wait_behind_the_others_and_get_one_event_at_a_time(instance: Instance) -> None:
    other = rented()
    webhook_set(user=other.client, url="http://127.0.0.1:1/", now=T0)
    for key in ("a", "b", "c"):
        tell(instance, key=key)
    tell(other, key="other")
    Webhook.objects.filter(user=instance.client).update(consecutive_failures=3)
    (healthy,) = deliveries_claim(now=T0, limit=9, failing=False)
    assert healthy.webhook.user_id == other.client_id
    (failing,) = deliveries_claim(now=T0, limit=9, failing=True)
    assert failing.notice is not None
    assert failing.notice.key == "a"
    busy = frozenset({failing.webhook_id})
    assert deliveries_claim(now=T0, limit=9, failing=True, busy=busy) == []


def _dripping(receiver: Receiver) -> Callable[[Any], None]:
    def drip(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
        for _ in range(300):
            if receiver.test_is_over.wait(0.01):
                return
            handler.wfile.write(b"a")
            handler.wfile.flush()
        handler.wfile.write(b"\r\ncontent-length: 0\r\n\r\n")

    return drip


def _silent(receiver: Receiver) -> Callable[[Any], None]:
    def wait(_: Any) -> None:
        receiver.test_is_over.wait()

    return wait


def _huge(receiver: Receiver) -> Callable[[Any], None]:
    def pour(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
        while not receiver.test_is_over.is_set():
            handler.wfile.write(b"x" * 65536)

    return pour


def _babbling(_: Receiver) -> Callable[[Any], None]:
    return lambda handler: handler.wfile.write(b"220 mail.example ESMTP\r\n")


def _hanging_up(_: Receiver) -> Callable[[Any], None]:
    return lambda handler: handler.connection.close()


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (_silent, "No answer in time."),
        (_dripping, "No answer in time."),
        (_huge, ""),
        (_babbling, "The answer is not HTTP."),
        (_hanging_up, "The connection was lost."),
    ],
)
def test_receivers_that_misbehave(
    instance: Instance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, behaviour: Any, error: str
) -> None:
    monkeypatch.setattr(gateway, "READ_SECONDS", 0.2)
    monkeypatch.setattr(gateway, "WHOLE_SECONDS", 0.5)
    receiver.answer = behaviour(receiver)
    tell(instance)
    assert deliver() == 1
    delivery = WebhookDelivery.objects.get()
    assert (delivery.last_error, delivery.delivered_at is not None) == (error, not error)


@pytest.mark.usefixtures("secret")
def test_redirects_are_not_followed(instance: Instance, receiver: Receiver) -> None:
    receiver.statuses = [302]
    tell(instance)
    deliver()
    assert [hit.path for hit in receiver.hits] == ["/hook?a=1"]
    assert WebhookDelivery.objects.get().last_error == "Answered 302; redirects are not followed."
