"""Auto-billing: a client lets its card be charged when the balance falls under a threshold."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.domain.auto_billing import FIXED, TOP_UP, AutoBillingTerms

DEFAULT_THRESHOLD_MICROS = 5_000_000
DEFAULT_AMOUNT_MICROS = 25_000_000


class AutoBilling(models.Model):
    """What the client agreed to. While it is on, the ledger account of its credit carries the threshold and the
    instant at which the balance falls under it."""

    class Mode(models.TextChoices):
        FIXED = FIXED, "The same amount each time"
        TOP_UP = TOP_UP, "What is missing to a balance"

    owner = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="auto_billing")
    enabled = models.BooleanField(default=False)
    threshold_micros = models.BigIntegerField(default=DEFAULT_THRESHOLD_MICROS)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=FIXED)
    amount_micros = models.BigIntegerField(default=DEFAULT_AMOUNT_MICROS)
    failures = models.IntegerField(default=0, help_text="Refusals in a row.")
    next_attempt_at = models.DateTimeField(null=True, blank=True, help_text="After a refusal: not before.")
    off_reason = models.CharField(max_length=100, blank=True, default="", help_text="Why it was turned off for them.")

    objects: ClassVar[models.Manager["AutoBilling"]] = models.Manager()

    class Meta:
        verbose_name_plural = "auto-billing"
        constraints = [
            models.CheckConstraint(condition=Q(mode__in=[FIXED, TOP_UP]), name="billing_auto_mode_known"),
            models.CheckConstraint(
                condition=Q(threshold_micros__gte=0, amount_micros__gt=0, failures__gte=0),
                name="billing_auto_amounts_in_range",
            ),
        ]

    def __str__(self) -> str:
        return f"auto-billing of account {self.owner_id}: {'on' if self.enabled else 'off'}"

    @property
    def terms(self) -> AutoBillingTerms:
        """What the pure arithmetic needs."""
        return AutoBillingTerms(self.threshold_micros, self.mode, self.amount_micros)
