"""Payments: what a client pays in, and what becomes of it."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.domain.payment_states import CREATED, IN_FLIGHT, STATES
from billing.models.card import Card

MAX_PAYMENT_MICROS = 10**11
"""A hundred thousand dollars: more in one card payment is a mistake."""
REFUND_STATES = ("requested", "succeeded", "failed", "refused")


class PaymentPurpose(models.TextChoices):
    PURCHASE = "purchase", "Credit bought"
    AUTO = "auto", "Auto-billing"


class Payment(models.Model):
    """An amount that a client's card is to be charged, or was. The provider knows it by its ``key``."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="payments")
    key = models.UUIDField(unique=True, help_text="Idempotency key and reference at the provider.")
    purpose = models.CharField(max_length=12, choices=PaymentPurpose.choices)
    state = models.CharField(max_length=16, default=CREATED)
    amount_micros = models.BigIntegerField()
    card = models.ForeignKey(Card, on_delete=models.PROTECT, null=True, blank=True, related_name="payments")
    session_id = models.CharField(max_length=200, null=True, blank=True, unique=True)
    page_url = models.TextField(blank=True, default="", help_text="The provider's page where it is paid.")
    intent_id = models.CharField(max_length=100, null=True, blank=True, unique=True)
    failure_code = models.CharField(max_length=100, blank=True, default="")
    failure_message = models.CharField(max_length=300, blank=True, default="")
    fee_micros = models.BigIntegerField(default=0, help_text="What the processor kept.")
    refunded_micros = models.BigIntegerField(default=0)
    disputed_micros = models.BigIntegerField(default=0, help_text="What banks hold back or have taken for good.")
    created_at = models.DateTimeField()
    succeeded_at = models.DateTimeField(null=True, blank=True)
    check_at = models.DateTimeField(
        null=True, blank=True, help_text="When to ask the provider, if it has not told by then."
    )
    checks_count = models.IntegerField(default=0)

    objects: ClassVar[models.Manager["Payment"]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=STATES), name="billing_payment_state_known"),
            models.CheckConstraint(
                condition=Q(purpose__in=PaymentPurpose.values), name="billing_payment_purpose_known"
            ),
            models.CheckConstraint(
                condition=Q(amount_micros__gt=0, amount_micros__lte=MAX_PAYMENT_MICROS),
                name="billing_payment_amount_in_range",
            ),
            models.CheckConstraint(
                condition=Q(fee_micros__gte=0, refunded_micros__gte=0, disputed_micros__gte=0)
                & Q(refunded_micros__lte=F("amount_micros"), disputed_micros__lte=F("amount_micros")),
                name="billing_payment_parts_in_range",
            ),
            models.CheckConstraint(
                condition=Q(state__in=IN_FLIGHT, check_at__isnull=False)
                | ~Q(state__in=IN_FLIGHT) & Q(check_at__isnull=True),
                name="billing_payment_in_flight_is_checked",
            ),
            models.CheckConstraint(
                condition=Q(state="succeeded", succeeded_at__isnull=False, intent_id__isnull=False)
                | ~Q(state="succeeded") & Q(succeeded_at__isnull=True),
                name="billing_payment_success_is_dated",
            ),
            models.UniqueConstraint(
                fields=["owner"],
                condition=Q(purpose="auto", state__in=IN_FLIGHT),
                name="billing_payment_one_auto_in_flight",
            ),
        ]
        indexes = [
            models.Index(fields=["check_at"], condition=Q(check_at__isnull=False), name="billing_payment_check_at"),
            models.Index(fields=["owner", "-id"], name="billing_payment_of_owner"),
        ]

    def __str__(self) -> str:
        return f"payment {self.pk} of account {self.owner_id}: {self.state}"


class PaymentChange(models.Model):
    """A payment went from one state to another: when, why, and by whom."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="changes")
    from_state = models.CharField(max_length=16)
    to_state = models.CharField(max_length=16)
    reason = models.CharField(max_length=100)
    at = models.DateTimeField()

    objects: ClassVar[models.Manager["PaymentChange"]] = models.Manager()

    def __str__(self) -> str:
        return f"payment {self.payment_id}: {self.from_state} to {self.to_state}"


class PaymentRefund(models.Model):
    """Money of a payment that goes back to the card: asked for by staff, or found at the provider."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    key = models.UUIDField(unique=True)
    provider_id = models.CharField(max_length=100, null=True, blank=True, unique=True)
    state = models.CharField(max_length=12, default="requested")
    amount_micros = models.BigIntegerField()
    reason = models.CharField(max_length=300)
    failure = models.CharField(max_length=300, blank=True, default="")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField()
    check_at = models.DateTimeField(null=True, blank=True, help_text="When to ask the provider for it (again).")

    objects: ClassVar[models.Manager["PaymentRefund"]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=REFUND_STATES), name="billing_refund_state_known"),
            models.CheckConstraint(condition=Q(amount_micros__gt=0), name="billing_refund_positive"),
        ]
        indexes = [
            models.Index(fields=["check_at"], condition=Q(check_at__isnull=False), name="billing_refund_check_at"),
        ]

    def __str__(self) -> str:
        return f"refund {self.pk} of payment {self.payment_id}"


class PaymentDispute(models.Model):
    """A client's bank took a payment back, or asks about it."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="disputes")
    provider_id = models.CharField(max_length=100, unique=True)
    status = models.CharField(max_length=40, help_text="As the provider names it.")
    reason = models.CharField(max_length=100)
    amount_micros = models.BigIntegerField(help_text="What is disputed.")
    withdrawn_micros = models.BigIntegerField(help_text="What the bank has of it now.")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager["PaymentDispute"]] = models.Manager()

    def __str__(self) -> str:
        return f"dispute of payment {self.payment_id}: {self.status}"
