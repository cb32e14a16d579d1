"""Brings queued events to clients' servers: claims, sends outside of any transaction, records."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from time import monotonic

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F

from marketplace.domain.retries import is_hopeless, next_wait
from marketplace.gateways.webhooks import Outcome, Parcel, send
from marketplace.locks import lock_webhook
from marketplace.models import Webhook, WebhookDelivery
from marketplace.services.webhooks import webhook_disable

logger = structlog.get_logger(__name__)

LEASE = timedelta(seconds=60)
"""How long an attempt may be under way before it counts as lost with its worker; far longer than any takes."""
IN_FLIGHT = 24
IN_FLIGHT_FAILING = 6
"""How many of these may go to receivers whose last attempt failed: the others find room at once."""
RUN_SECONDS = 5.0
"""A run begins no attempt after this, so that its worker is soon free for other tasks."""
FLIGHT_SECONDS = 16.0
"""An attempt counts as failed after this: sending ends itself earlier, only resolving a name may hang longer."""


def deliveries_claim(
    *, now: datetime, limit: int, failing: bool, busy: frozenset[int] = frozenset()
) -> list[WebhookDelivery]:
    """Take over at most ``limit`` due deliveries, the oldest of each webhook; nobody else has them until LEASE is over.

    ``failing`` chooses webhooks whose last attempt failed or the others; those in ``busy`` (webhook ids) are left out.
    """
    due = WebhookDelivery.objects.filter(next_attempt_at__lte=now, webhook__active=True).exclude(webhook_id__in=busy)
    due = due.filter(webhook__consecutive_failures__gt=0) if failing else due.filter(webhook__consecutive_failures=0)
    heads = due.order_by("webhook_id", "next_attempt_at", "pk").distinct("webhook_id")
    oldest = WebhookDelivery.objects.filter(pk__in=heads.values("pk")).order_by("next_attempt_at", "pk")
    return [row for row in oldest.select_related("webhook")[:limit] if _claim(row, now)]


def _claim(row: WebhookDelivery, now: datetime) -> bool:
    # Conditional on what was read: of two workers that saw the same row one wins.
    seen = WebhookDelivery.objects.filter(pk=row.pk, next_attempt_at=row.next_attempt_at, attempts=row.attempts)
    if not seen.update(next_attempt_at=now + LEASE, attempts=F("attempts") + 1):
        return False
    row.attempts += 1
    return True


@transaction.atomic
def delivery_record(*, delivery: WebhookDelivery, outcome: Outcome, now: datetime, fraction: float) -> None:
    """Write down how a claimed attempt ended; ``fraction`` (0 to 1) is the jitter of the next one.

    What was delivered counts, however late it is told; a failure only while the attempt is still the newest.
    """
    webhook = lock_webhook(delivery.webhook.user_id, also_removed=True)
    if outcome.delivered:
        _record_success(delivery, webhook, outcome, now)
    else:
        _record_failure(delivery, webhook, outcome, now, fraction)


def _record_success(delivery: WebhookDelivery, webhook: Webhook, outcome: Outcome, now: datetime) -> None:
    WebhookDelivery.objects.filter(pk=delivery.pk, delivered_at=None).update(
        delivered_at=now, given_up_at=None, next_attempt_at=None, last_status=outcome.status, last_error=""
    )
    if webhook.url != delivery.webhook.url:
        return
    webhook.last_success_at, webhook.failing_since, webhook.last_error = now, None, ""
    webhook.consecutive_failures = webhook.given_up_in_row = 0
    webhook.save(
        update_fields=["last_success_at", "failing_since", "last_error", "consecutive_failures", "given_up_in_row"]
    )


def _record_failure(
    delivery: WebhookDelivery, webhook: Webhook, outcome: Outcome, now: datetime, fraction: float
) -> None:
    is_test = delivery.notice_id is None
    pause = None if is_test else next_wait(delivery.attempts, fraction)
    newest = WebhookDelivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts, next_attempt_at__isnull=False)
    recorded = newest.update(
        next_attempt_at=None if pause is None else now + pause,
        given_up_at=now if pause is None else None,
        last_status=outcome.status,
        last_error=outcome.error[:300],
    )
    if recorded and not is_test and webhook.url == delivery.webhook.url:
        _webhook_failed(webhook, outcome, now, gave_up=pause is None)


def _webhook_failed(webhook: Webhook, outcome: Outcome, now: datetime, *, gave_up: bool) -> None:
    webhook.failing_since = webhook.failing_since or now
    webhook.last_error = outcome.error[:300]
    webhook.consecutive_failures += 1
    webhook.given_up_in_row += gave_up
    webhook.save(update_fields=["failing_since", "last_error", "consecutive_failures", "given_up_in_row"])
    if gave_up and webhook.active and is_hopeless(webhook.given_up_in_row, now - webhook.failing_since):
        webhook_disable(webhook=webhook, now=now)


def webhooks_deliver(*, now: datetime, fraction: Callable[[], float]) -> int:
    """Attempt what is due, many receivers at a time but one event at a time to each; returns how many attempts ended.

    Takes RUN_SECONDS plus the length of the last attempts at most. ``fraction`` draws jitter from 0 to 1.
    """
    run = _Run(now=now, fraction=fraction)
    try:
        while run.fill():
            run.collect()
    finally:
        run.pool.shutdown(wait=False, cancel_futures=True)
    return run.ended


class _Run:
    """Threads that only send; this one alone talks to the database."""

    def __init__(self, *, now: datetime, fraction: Callable[[], float]) -> None:
        self.pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="webhook")
        self.ended = 0
        self._now = now
        self._fraction = fraction
        self._fill_until = monotonic() + RUN_SECONDS
        self._flights: dict[Future[Outcome], tuple[WebhookDelivery, float]] = {}
        self._failing: set[int] = set()

    def fill(self) -> bool:
        """Begin as many attempts as there is room for; whether any is under way."""
        if monotonic() < self._fill_until:
            self._begin(IN_FLIGHT - len(self._flights), failing=False)
            waiting = sum(delivery.webhook_id in self._failing for delivery, _ in self._flights.values())
            self._begin(min(IN_FLIGHT_FAILING - waiting, IN_FLIGHT - len(self._flights)), failing=True)
        return bool(self._flights)

    def _begin(self, room: int, *, failing: bool) -> None:
        if room <= 0:
            return
        busy = frozenset(delivery.webhook_id for delivery, _ in self._flights.values())
        for delivery in deliveries_claim(now=self._now, limit=room, failing=failing, busy=busy):
            if failing:
                self._failing.add(delivery.webhook_id)
            parcel = _parcel(delivery, self._now)
            future = self.pool.submit(send, parcel, allow_private=settings.WEBHOOK_ALLOW_PRIVATE)
            self._flights[future] = (delivery, monotonic())

    def collect(self) -> None:
        """Wait for an attempt to end, and record those that did or that take too long."""
        wait(self._flights, timeout=1.0, return_when=FIRST_COMPLETED)
        for future, (delivery, begun) in list(self._flights.items()):
            if future.done() or monotonic() - begun > FLIGHT_SECONDS:
                del self._flights[future]
                self._record(delivery, _outcome(future))

    def _record(self, delivery: WebhookDelivery, outcome: Outcome) -> None:
        self.ended += 1
        delivery_record(delivery=delivery, outcome=outcome, now=self._now, fraction=self._fraction())


def _parcel(delivery: WebhookDelivery, now: datetime) -> Parcel:
    webhook = delivery.webhook
    signing: tuple[str, ...] = (webhook.secret,)
    if webhook.previous_secret_until is not None and now < webhook.previous_secret_until:
        signing = (webhook.secret, webhook.previous_secret)
    return Parcel(webhook.url, delivery.message_id, delivery.body, signing, now)


def _outcome(future: Future[Outcome]) -> Outcome:
    if not future.done():
        return Outcome(None, "No answer in time.")
    error = future.exception()
    if error is None:
        return future.result()
    logger.error("webhook_send_failed", exc_info=error)
    return Outcome(None, "It could not be sent.")
