"""Clients are told what happens to their instances: once written down, never lost, and mailed."""

import smtplib
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as site
from django.core import mail
from django.db import transaction
from django.db.utils import IntegrityError
from pytest_django import DjangoAssertNumQueries

from marketplace.celery import app
from marketplace.domain.retries import ATTEMPTS, WAITS_SECONDS
from marketplace.models import Instance, Notice, User, WebhookDelivery
from marketplace.schedule import BEAT_SCHEDULE
from marketplace.services.notice_mails import LEASE, notice_mail_claim
from marketplace.services.notices import News, notices_post
from marketplace.services.webhooks import webhook_remove
from tests.billing.racing import elsewhere, race
from tests.marketplace.telling import after, deliver, send_mails, tell, transactions_open
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db


# --- posting ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("secret")
def test_the_same_key_is_told_once(instance: Instance) -> None:
    first = tell(instance)
    assert first is not None
    assert tell(instance, subject="Again", now=after(9)) is None
    assert list(Notice.objects.values_list("subject", "at")) == [("Outbid", T0)]
    assert WebhookDelivery.objects.get().message_id == f"ntc_{first.pk}"


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("count", [1, 40])
def test_any_number_of_notices_takes_four_statements(
    instance: Instance, count: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    news = [News(instance, "outbid", f"key {i}", "Subject", "Text.") for i in range(count)]
    with django_assert_max_num_queries(4):
        assert len(notices_post([*news, news[0]], now=T0)) == count
    with django_assert_max_num_queries(1):
        assert notices_post(news, now=T0) == []
    assert WebhookDelivery.objects.count() == count


def test_without_a_webhook_only_the_mail_is_queued(instance: Instance) -> None:
    tell(instance)
    assert not WebhookDelivery.objects.exists()
    assert send_mails() == 1


@pytest.mark.usefixtures("secret")
def test_a_notice_that_is_rolled_back_was_never_there(instance: Instance) -> None:
    with transaction.atomic():
        tell(instance)
        transaction.set_rollback(True)
    assert (deliver(), send_mails()) == (0, 0)


@pytest.mark.parametrize("broken", [{"kind": "gossip"}, {"kind": "webhook_disabled"}])
def test_the_database_knows_the_kinds(instance: Instance, broken: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        tell(instance, **broken)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("secret")
def test_a_notice_waits_for_nobody_who_changes_the_webhook(instance: Instance) -> None:
    with transaction.atomic():
        webhook_remove(user=instance.client, now=T0)
        assert elsewhere(lambda: tell(instance)) is not None
    assert deliver() == 0


# --- mails -----------------------------------------------------------------------------------------------------------


def test_a_mail_leads_to_the_instance(instance: Instance) -> None:
    tell(instance, subject="Outbid:\nBcc: everyone@example.com " + "x" * 300)
    assert send_mails(after(1)) == 1
    (message,) = mail.outbox
    assert message.to == [instance.client.email]
    assert message.subject.startswith("[Spotyard] Outbid: Bcc: everyone@example.com xxx")
    assert message.body == f"Others bid more.\n\n{site.SITE_URL}/instances/{instance.pk}/\n"
    assert send_mails(after(2)) == 0
    assert Notice.objects.get().mailed_at == after(1)


def test_a_deleted_instance_has_no_page_to_lead_to(instance: Instance) -> None:
    tell(instance, kind="disk_deleted")
    send_mails()
    assert mail.outbox[0].body.endswith("/instances/\n")


def test_a_mail_server_that_fails_loses_no_notice(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise smtplib.SMTPServerDisconnected("gone")

    tell(instance)
    now = T0
    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", broken)
        for pause in WAITS_SECONDS[:3]:
            assert send_mails(now) == 0
            now += timedelta(seconds=pause)
            assert Notice.objects.get().mail_next_at == now
    assert send_mails(now) == 1
    notice = Notice.objects.get()
    assert (notice.mailed_at, notice.mail_next_at, notice.mail_attempts) == (now, None, 4)


def test_a_mail_that_never_leaves_is_given_up(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError("no route")

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", broken)
    tell(instance)
    for day in range(ATTEMPTS):
        assert Notice.objects.get().mail_given_up_at is None
        send_mails(T0 + timedelta(days=day))
    notice = Notice.objects.get()
    assert (notice.mail_given_up_at, notice.mail_next_at) == (T0 + timedelta(days=ATTEMPTS - 1), None)


def test_a_mail_that_fails_holds_up_no_other(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(_: object, messages: list[mail.EmailMessage]) -> int:
        if "first" in messages[0].subject:
            raise smtplib.SMTPRecipientsRefused({})
        mail.outbox.extend(messages)
        return 1

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", picky)
    tell(instance, key="1", subject="first")
    tell(instance, key="2", subject="second")
    assert send_mails() == 1
    assert [message.subject for message in mail.outbox] == ["[Spotyard] second"]


def test_a_killed_workers_mail_is_sent_again_under_the_same_id(instance: Instance) -> None:
    tell(instance)
    assert notice_mail_claim(now=T0) is not None
    assert notice_mail_claim(now=T0) is None
    assert send_mails(T0 + LEASE - timedelta(seconds=1)) == 0
    assert send_mails(T0 + LEASE) == 1
    notice = Notice.objects.get()
    assert mail.outbox[0].extra_headers["Message-ID"] == f"<notice-{notice.pk}@127.0.0.1>"


def test_simulated_people_get_no_mail(instance: Instance) -> None:
    User.objects.filter(pk=instance.client_id).update(is_simulated=True)
    tell(instance)
    assert send_mails() == 0
    assert (Notice.objects.get().mail_next_at, mail.outbox) == (None, [])


def test_mail_servers_do_not_hang_us() -> None:
    assert site.EMAIL_TIMEOUT == 10


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_mail_server_is_waited_for(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def slow(*_: object) -> int:
        seen.append(elsewhere(transactions_open))
        return 1

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", slow)
    tell(instance)
    assert send_mails() == 1
    assert seen == [0]


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_a_mail_once(instance: Instance) -> None:
    tell(instance)

    def hold() -> None:
        Notice.objects.select_for_update().get()

    assert sorted(race(hold, [send_mails, send_mails, send_mails])) == [0, 0, 1]
    assert len(mail.outbox) == 1


def test_every_scheduled_task_exists() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} <= set(app.tasks)
