"""Telling clients things in tests."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from marketplace.models import Instance, Notice
from marketplace.services.notice_mails import notice_mails_send
from marketplace.services.notices import notice_post
from marketplace.services.rent import instance_rent
from marketplace.services.webhook_deliveries import webhooks_deliver
from tests.plumbing import market
from tests.plumbing.market import T0


def rented() -> Instance:
    """A loading instance of a new client on a new machine."""
    agent = market.listed_machine()
    client = market.user(dollars=10)
    request = market.wish(label="nightly")
    return instance_rent(client=client, offer_id=market.offer(agent).pk, request=request, now=T0)


def after(seconds: float) -> datetime:
    """So long after T0."""
    return T0 + timedelta(seconds=seconds)


def tell(instance: Instance, key: str = "k", now: datetime = T0, **values: Any) -> Notice | None:
    """Others bid more, unless the values say something else."""
    words: dict[str, Any] = {"kind": "outbid", "subject": "Outbid", "text": "Others bid more.", "data": {"bid": 0.5}}
    return notice_post(instance=instance, key=key, now=now, **(words | values))


def deliver(now: datetime = T0) -> int:
    """A worker's run for webhooks, without jitter."""
    return webhooks_deliver(now=now, fraction=lambda: 0.0)


def send_mails(now: datetime = T0) -> int:
    """A worker's run for mails, without jitter."""
    return notice_mails_send(now=now, fraction=lambda: 0.0)


def transactions_open() -> int:
    """How many other connections to this database are within a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
        )
        found: int = cursor.fetchone()[0]
    return found
