"""Ledger entries: what happened."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class EntryKind(models.TextChoices):
    USAGE = "usage", "Usage"
    CREDIT_GRANT = "credit_grant", "Credit grant"
    PAYMENT = "payment", "Payment"
    PAYMENT_REFUND = "payment_refund", "Payment refunded"
    DISPUTE = "dispute", "Payment disputed"
    DISPUTE_WON = "dispute_won", "Dispute won"
    PROCESSOR_FEE = "processor_fee", "Processor fee"
    USAGE_REFUND = "usage_refund", "Use refunded"
    CREDIT_TRANSFER = "credit_transfer", "Credit transfer"
    ADJUSTMENT = "adjustment", "Adjustment"
    PAYOUT = "payout", "Payout"
    PAYOUT_SENT = "payout_sent", "Payout sent"
    PAYOUT_RETURNED = "payout_returned", "Payout returned"


class Entry(models.Model):
    """One event that moved money. Never changed or deleted; its postings sum to zero. Triggers enforce
    both.
    """

    idempotency_key = models.CharField(max_length=200)
    kind = models.CharField(max_length=24, choices=EntryKind.choices)
    memo = models.CharField(max_length=300)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Who did it; empty for the system.",
    )
    meter = models.ForeignKey(
        "billing.Meter", on_delete=models.PROTECT, null=True, blank=True, related_name="entries", db_index=False
    )
    occurred_at = models.DateTimeField(
        db_index=True, help_text="When it took effect; for usage the end of the time it pays for."
    )
    created_at = models.DateTimeField(db_default=Now())
    details = models.JSONField(default=dict, blank=True)

    objects: ClassVar[models.Manager["Entry"]] = models.Manager()

    class Meta:
        verbose_name_plural = "entries"
        constraints = [
            # Not unique=True, which adds an index for LIKE that every posting would pay for.
            models.UniqueConstraint(fields=["idempotency_key"], name="billing_entry_posted_once"),
            models.CheckConstraint(condition=Q(kind__in=EntryKind.values), name="billing_entry_kind_known"),
            models.CheckConstraint(
                condition=~Q(kind=EntryKind.USAGE) | Q(meter__isnull=False),
                name="billing_entry_usage_has_meter",
            ),
        ]
        indexes = [
            models.Index(fields=["meter"], condition=Q(meter__isnull=False), name="billing_entry_meter"),
            models.Index(fields=["actor"], condition=Q(actor__isnull=False), name="billing_entry_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.memo}"
