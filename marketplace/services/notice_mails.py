"""Mails notices to clients: claims, sends outside of any transaction, records."""

from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import F
from django.urls import reverse

from billing.domain.notices import AUTO_BILLING_OFF, HOST_KINDS, PAYMENT_ACTION
from billing.domain.notices import KINDS as MONEY_KINDS
from marketplace.domain.notices import DISK_DELETED, MACHINE_KINDS
from marketplace.domain.retries import next_wait
from marketplace.models import Notice

logger = structlog.get_logger(__name__)

LEASE = timedelta(seconds=120)
"""How long a mail may be under way before it counts as lost with its worker."""
RUN_SECONDS = 5.0
"""A run begins no mail after this, so that its worker is soon free for other tasks."""


def notice_mails_send(*, now: datetime, fraction: Callable[[], float]) -> int:
    """Send mails that are due, one after the other over one connection; returns how many left.

    A mail that fails is tried again later, with jitter drawn from ``fraction`` (0 to 1), and given up in the end.
    """
    sent, until = 0, monotonic() + RUN_SECONDS
    connection = get_connection()
    try:
        while monotonic() < until and (notice := notice_mail_claim(now=now)) is not None:
            sent += _attempt(notice, connection, now=now, fraction=fraction)
    finally:
        _close(connection)
    return sent


def notice_mail_claim(*, now: datetime) -> Notice | None:
    """Take over the notice whose mail is due longest; nobody else has it until LEASE is over. None: nothing is due."""
    due = Notice.objects.filter(mail_next_at__lte=now).select_related("client").order_by("mail_next_at", "pk")
    while (notice := due.first()) is not None:
        seen = Notice.objects.filter(pk=notice.pk, mail_next_at=notice.mail_next_at, mail_attempts=notice.mail_attempts)
        if seen.update(mail_next_at=now + LEASE, mail_attempts=F("mail_attempts") + 1):
            notice.mail_attempts += 1
            return notice
    return None


def _attempt(notice: Notice, connection: BaseEmailBackend, *, now: datetime, fraction: Callable[[], float]) -> bool:
    rows = Notice.objects.filter(pk=notice.pk, mailed_at=None)
    if notice.client.is_simulated or not notice.client.is_active:
        rows.update(mail_next_at=None)  # nobody reads it
        return False
    try:
        connection.open()  # else every mail opens one of its own
        connection.send_messages([_mail(notice, connection)])
    except Exception:  # whatever a mail backend raises, the notice stays
        logger.exception("notice_mail_failed", notice_id=notice.pk, attempt=notice.mail_attempts)
        _close(connection)
        _retry(notice, now=now, wait=next_wait(notice.mail_attempts, fraction()))
        return False
    rows.update(mailed_at=now, mail_next_at=None, mail_given_up_at=None)
    return True


def _retry(notice: Notice, *, now: datetime, wait: timedelta | None) -> None:
    newest = Notice.objects.filter(pk=notice.pk, mail_attempts=notice.mail_attempts, mailed_at=None)
    if wait is None:
        newest.update(mail_next_at=None, mail_given_up_at=now)
    else:
        newest.update(mail_next_at=now + wait)


def _mail(notice: Notice, connection: BaseEmailBackend) -> EmailMessage:
    host = urlsplit(settings.SITE_URL).hostname
    return EmailMessage(
        subject=settings.ACCOUNT_EMAIL_SUBJECT_PREFIX + notice.subject,
        body=f"{notice.text}\n\n{settings.SITE_URL}{_page(notice)}\n",
        to=[notice.client.email],
        # The same at every attempt, so that a mail that left twice can be told.
        headers={"Message-ID": f"<notice-{notice.pk}@{host}>", "Auto-Submitted": "auto-generated"},
        connection=connection,
    )


def _page(notice: Notice) -> str:
    if notice.kind in HOST_KINDS:
        return reverse("host_payouts")
    if notice.kind in (PAYMENT_ACTION, AUTO_BILLING_OFF):
        return reverse("billing_payment")
    if notice.kind in MONEY_KINDS:
        return reverse("billing")
    if notice.kind in MACHINE_KINDS:
        return reverse("host_machine", args=[notice.data["machine_id"]])
    if notice.instance_id is None:
        return reverse("account")
    if notice.kind == DISK_DELETED:
        return reverse("instances")  # its own page is gone with it
    return reverse("instance", args=[notice.instance_id])


def _close(connection: BaseEmailBackend) -> None:
    try:
        connection.close()
    except Exception:
        logger.warning("mail_connection_not_closed", exc_info=True)
