"""Payouts: money on its way to a host."""

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.lookups import Exact

from billing.domain.payouts import MICROS_PER_CENT, Order, PayoutState
from billing.models.invoice import HostInvoice
from billing.models.payout_method import ProviderName
from billing.models.weekly_run import WeeklyRun


class PayoutStateName(models.TextChoices):
    CREATED = PayoutState.CREATED.value, "Created"
    SENDING = PayoutState.SENDING.value, "Sending"
    SENT = PayoutState.SENT.value, "Sent"
    PAID = PayoutState.PAID.value, "Paid"
    FAILED = PayoutState.FAILED.value, "Failed"
    RETURNED = PayoutState.RETURNED.value, "Returned"
    RECALLED = PayoutState.RECALLED.value, "Recalled"


class Payout(models.Model):
    """What one host is paid for one week and what carried over into it."""

    host = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="payouts")
    run = models.ForeignKey(WeeklyRun, on_delete=models.PROTECT, related_name="payouts")
    invoice = models.ForeignKey(
        HostInvoice,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="payouts",
        help_text="The week's; empty if the host earned nothing in it and only older money is paid.",
    )
    key = models.CharField(max_length=40, unique=True, help_text="Its name at the provider.")
    attempt = models.IntegerField(
        default=1, help_text="Another begins when the provider could not, and surely has not."
    )
    provider = models.CharField(max_length=8, choices=ProviderName.choices)
    destination = models.CharField(max_length=100, help_text="The host's account at the provider.")
    amount_micros = models.BigIntegerField(help_text="Whole cents.")
    fee_micros = models.BigIntegerField(default=0, help_text="What the provider took from us for it.")
    state = models.CharField(max_length=8, choices=PayoutStateName.choices, default=PayoutStateName.CREATED)
    reason = models.CharField(max_length=300, blank=True, default="", help_text="Why it failed, came back or waits.")
    transfer_id = models.CharField(
        max_length=100, blank=True, default="", help_text="Stripe's transfer, PayPal's batch."
    )
    item_id = models.CharField(max_length=100, blank=True, default="", help_text="Stripe's payout, PayPal's item.")
    created_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True, help_text="When a worker last began to send it.")
    next_at = models.DateTimeField(help_text="When it is to be sent or asked about next.")
    sent_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When it was paid, failed or came back.")

    objects: ClassVar[models.Manager["Payout"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["host", "run"],
                condition=~Q(state=PayoutStateName.RECALLED),
                name="billing_payout_once_a_week",
            ),
            models.UniqueConstraint(
                fields=["provider", "transfer_id"], condition=~Q(transfer_id=""), name="billing_payout_one_transfer"
            ),
            models.CheckConstraint(condition=Q(state__in=PayoutStateName.values), name="billing_payout_state_known"),
            models.CheckConstraint(condition=Q(provider__in=ProviderName.values), name="billing_payout_provider_known"),
            models.CheckConstraint(
                condition=Q(amount_micros__gt=0) & Q(Exact(F("amount_micros") % MICROS_PER_CENT, 0)),
                name="billing_payout_whole_cents",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=(PayoutStateName.SENT, PayoutStateName.PAID, PayoutStateName.RETURNED))
                | (~Q(transfer_id="") & Q(sent_at__isnull=False)),
                name="billing_payout_sent_is_known",
            ),
        ]
        indexes = [models.Index(fields=["state", "next_at"], name="billing_payout_due")]

    def __str__(self) -> str:
        return self.key

    @property
    def changed_at(self) -> datetime:
        """When it came to be where it is, as far as its host cares."""
        return self.ended_at or self.sent_at or self.created_at

    @property
    def order(self) -> Order:
        """What the provider is asked for."""
        return Order(
            key=self.key,
            attempt=self.attempt,
            amount_micros=self.amount_micros,
            destination=self.destination,
            memo=f"Earnings to {self.run.period_end:%Y-%m-%d}",
        )


class PayoutEvent(models.Model):
    """A step of a payout: who or what took it, and why."""

    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField()
    old_state = models.CharField(max_length=8, blank=True)
    new_state = models.CharField(max_length=8, choices=PayoutStateName.choices)
    reason = models.CharField(max_length=300, blank=True, default="")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty for the system.",
    )

    objects: ClassVar[models.Manager["PayoutEvent"]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.new_state} at {self.at:%Y-%m-%d %H:%M:%S}"
