"""Writes down what clients are told. Mails and webhooks leave later: nothing here waits for a network."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from marketplace.domain.notices import event_type, message_id, one_line, payload
from marketplace.models import Instance, Notice, Webhook, WebhookDelivery


@dataclass(frozen=True)
class News:
    """Something to tell the client of ``instance``, once for each ``key``.

    ``subject`` is one line, ``text`` plain sentences; ``data`` is added to what webhooks get and must be JSON (dates
    are written as RFC 3339).
    """

    instance: Instance
    kind: str
    key: str
    subject: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


def notice_post(
    *,
    instance: Instance,
    kind: str,
    key: str,
    subject: str,
    text: str,
    now: datetime,
    data: Mapping[str, Any] | None = None,
) -> Notice | None:
    """Tell the instance's client by mail and webhook, in the caller's transaction; None when ``key`` was told before.

    See ``notices_post``.
    """
    news = News(instance, kind, key, subject, text, data or {})
    posted = notices_post([news], now=now)
    return posted[0] if posted else None


def account_notice_post(
    *,
    owner_id: int,
    kind: str,
    key: str,
    subject: str,
    text: str,
    now: datetime,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Tell an account something that is not about one instance, by mail, in the caller's transaction.

    The same ``key`` is told once, whoever else tells it at the same moment.
    """
    notice = Notice(
        client_id=owner_id,
        kind=kind,
        at=now,
        subject=one_line(subject),
        text=text,
        data=dict(data or {}),
        key=key,
        mail_next_at=now,
    )
    Notice.objects.bulk_create([notice], ignore_conflicts=True)


def notices_post(news: Sequence[News], *, now: datetime) -> list[Notice]:
    """Tell several things at once, in at most four statements whatever their number; returns what was not told before.

    Runs in the caller's transaction, which holds the lock of the instances' machine: the same key is never posted by
    two at once. What webhooks are told of an instance (its state, its label) is what the objects say now.
    """
    fresh = {item.key: item for item in news}
    for known in Notice.objects.filter(key__in=fresh).values_list("key", flat=True):
        del fresh[known]
    if not fresh:
        return []
    posted = Notice.objects.bulk_create([_notice(item, now) for item in fresh.values()])
    _deliveries_create(posted, now)
    return posted


def _notice(news: News, now: datetime) -> Notice:
    instance = news.instance
    return Notice(
        client_id=instance.client_id,
        instance=instance,
        kind=news.kind,
        at=now,
        subject=one_line(news.subject),
        text=news.text,
        data={
            "instance_id": instance.pk,
            "label": instance.label,
            "machine_id": instance.machine_id,
            "state": instance.state,
            "message": news.text,
            **news.data,
        },
        key=news.key,
        mail_next_at=now,
    )


def _deliveries_create(notices: Sequence[Notice], now: datetime) -> None:
    clients = {notice.client_id for notice in notices}
    active = Webhook.objects.filter(user_id__in=clients, active=True)
    webhooks: dict[int, int] = dict(active.values_list("user_id", "pk"))
    told = [notice for notice in notices if notice.client_id in webhooks]
    if told:
        WebhookDelivery.objects.bulk_create([_delivery(webhooks[notice.client_id], notice, now) for notice in told])


def _delivery(webhook_id: int, notice: Notice, now: datetime) -> WebhookDelivery:
    ident, event = message_id(notice.pk), event_type(notice.kind)
    return WebhookDelivery(
        webhook_id=webhook_id,
        notice=notice,
        message_id=ident,
        event=event,
        body=event_body(payload(message_id=ident, event=event, at=notice.at, data=notice.data)),
        created_at=now,
        next_attempt_at=now,
    )


def event_body(event: Mapping[str, Any]) -> str:
    """An event as JSON, the way it is signed and sent."""
    return json.dumps(event, cls=DjangoJSONEncoder, separators=(",", ":"), ensure_ascii=False)
