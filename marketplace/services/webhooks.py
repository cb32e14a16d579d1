"""The webhook of an account: set, change, rotate, remove, test, disable."""

import base64
import secrets
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from marketplace.domain.notices import TEST_EVENT, WEBHOOK_DISABLED, payload
from marketplace.domain.webhook_urls import BadUrlError, checked_url
from marketplace.errors import MarketError
from marketplace.locks import lock_webhook
from marketplace.models import Notice, Webhook, WebhookDelivery
from marketplace.services.audit import audit_record
from marketplace.services.notices import event_body

SECRET_PREFIX = "whsec_"  # noqa: S105  # what every secret begins with
SECRET_BYTES = 32
OLD_SECRET_SIGNS_FOR = timedelta(hours=24)
TESTS_PER_MINUTE = 5


@transaction.atomic
def webhook_set(*, user: AbstractBaseUser, url: str, now: datetime) -> str:
    """Send the account's events to ``url`` from now on; returns the secret when a new one was made, else "".

    A changed URL keeps the secret, gets what still waits for a retry, and begins with a clean record. One that was
    disabled is active again, for what happens from now on. Raises MarketError(bad_webhook_url).
    """
    address = _checked(url)
    Webhook.objects.get_or_create(user_id=user.pk, defaults={"active": False, "created_at": now})
    webhook = lock_webhook(user.pk, also_removed=True)
    if not webhook.active:
        _end_waiting(webhook, now, "The webhook was not active.")
    raw = "" if webhook.secret else new_secret()
    webhook.url, webhook.active, webhook.secret = address, True, webhook.secret or raw
    if raw:
        webhook.created_at = now
    _forget_health(webhook)
    webhook.save()
    _audit("webhook.set", user, urlsplit(address).hostname or "", now)
    return raw


@transaction.atomic
def webhook_rotate(*, user: AbstractBaseUser, now: datetime) -> str:
    """A new secret, returned this once. For OLD_SECRET_SIGNS_FOR events carry signatures by both.

    Raises MarketError(no_such_webhook, 404).
    """
    webhook = lock_webhook(user.pk)
    webhook.previous_secret, webhook.previous_secret_until = webhook.secret, now + OLD_SECRET_SIGNS_FOR
    webhook.secret = new_secret()
    webhook.save(update_fields=["previous_secret", "previous_secret_until", "secret"])
    _audit("webhook.rotated", user, "", now)
    return webhook.secret


@transaction.atomic
def webhook_remove(*, user: AbstractBaseUser, now: datetime) -> None:
    """Send nothing any more and forget URL and secrets. Raises MarketError(no_such_webhook, 404)."""
    webhook = lock_webhook(user.pk)
    webhook.url = webhook.secret = webhook.previous_secret = ""
    webhook.previous_secret_until, webhook.active = None, False
    _forget_health(webhook)
    webhook.save()
    _end_waiting(webhook, now, "The webhook was removed.")
    _audit("webhook.removed", user, "", now)


def _audit(action: str, user: AbstractBaseUser, host: str, now: datetime) -> None:
    """Paths of such URLs are often secrets, so the host is all that is told."""
    audit_record(action=action, actor=user, account_id=user.pk, message=host, now=now)


@transaction.atomic
def webhook_test(*, user: AbstractBaseUser, now: datetime) -> WebhookDelivery:
    """Queue an event of no meaning; it is sent once and its failure counts for nothing.

    Raises MarketError: no_such_webhook (404), webhook_disabled, too_many_tests (429).
    """
    webhook = lock_webhook(user.pk)
    if not webhook.active:
        raise MarketError("webhook_disabled", "The webhook is switched off. Save its URL to switch it on first.")
    recent = webhook.deliveries.filter(notice=None, created_at__gt=now - timedelta(minutes=1)).count()
    if recent >= TESTS_PER_MINUTE:
        raise MarketError("too_many_tests", "That is enough test events for now. Wait a minute.", status=429)
    ident = f"tst_{secrets.token_hex(12)}"
    data = {"message": "A test event: your webhook works."}
    return WebhookDelivery.objects.create(
        webhook=webhook,
        message_id=ident,
        event=TEST_EVENT,
        body=event_body(payload(message_id=ident, event=TEST_EVENT, at=now, data=data)),
        created_at=now,
        next_attempt_at=now,
    )


def webhook_disable(*, webhook: Webhook, now: datetime) -> None:
    """Stop sending to a receiver that has long been failing and tell its owner, in the transaction that locked it."""
    since = webhook.failing_since or now
    webhook.active, webhook.disabled_at = False, now
    webhook.disabled_reason = (
        f"The last {webhook.given_up_in_row} events could not be delivered; failing since {since:%d %B %Y %H:%M} UTC."
    )
    webhook.save(update_fields=["active", "disabled_at", "disabled_reason"])
    _end_waiting(webhook, now, "The webhook was switched off because it kept failing.")
    Notice.objects.create(
        client_id=webhook.user_id,
        kind=WEBHOOK_DISABLED,
        at=now,
        subject="Your webhook is switched off",
        text=f"{webhook.disabled_reason} Last error: {webhook.last_error} Events are no longer sent to "
        f"{webhook.url}. When the receiver works again, save its URL on your account's page to switch it on.",
        key=f"webhook:{webhook.pk}:disabled:{now.isoformat()}",
        mail_next_at=now,
    )


def new_secret() -> str:
    """A random key in the spelling of the Standard Webhooks specification."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _checked(url: str) -> str:
    try:
        return checked_url(
            url, http_allowed=settings.WEBHOOK_ALLOW_HTTP, private_allowed=settings.WEBHOOK_ALLOW_PRIVATE
        )
    except BadUrlError as error:
        raise MarketError("bad_webhook_url", str(error), field="url") from error


def _forget_health(webhook: Webhook) -> None:
    webhook.last_success_at = webhook.failing_since = webhook.disabled_at = None
    webhook.last_error = webhook.disabled_reason = ""
    webhook.consecutive_failures = webhook.given_up_in_row = 0


def _end_waiting(webhook: Webhook, now: datetime, why: str) -> None:
    webhook.deliveries.filter(next_attempt_at__isnull=False).update(
        next_attempt_at=None, given_up_at=now, last_error=why
    )
