"""Requests to move money by hand."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.domain.adjustments import GIVEN, KINDS, POSTED, REJECTED, REQUESTED, STATES
from billing.models.account import LedgerAccount
from billing.models.entry import Entry


class AdjustmentRequest(models.Model):
    """One member of the staff asks, another one decides. It reaches the ledger once, when it is posted."""

    key = models.UUIDField(unique=True, help_text="The same request again is the same row.")
    kind = models.CharField(max_length=12, choices=[(kind, kind.replace("_", " ")) for kind in KINDS])
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="adjustments")
    amount_micros = models.BigIntegerField(help_text="Positive is to the credit of the account's owner.")
    reason = models.CharField(max_length=300, help_text="The owner sees it on the statement.")
    state = models.CharField(max_length=10, choices=[(state, state) for state in STATES], default=REQUESTED)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty for what is small enough to need no second person.",
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, null=True, blank=True, related_name="adjustment")

    objects: ClassVar[models.Manager["AdjustmentRequest"]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=KINDS), name="billing_adjustment_kind_known"),
            models.CheckConstraint(condition=Q(state__in=STATES), name="billing_adjustment_state_known"),
            models.CheckConstraint(
                condition=~Q(amount_micros=0) & (~Q(kind__in=GIVEN) | Q(amount_micros__gt=0)),
                name="billing_adjustment_moves_something",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
                name="billing_adjustment_two_persons",
            ),
            models.CheckConstraint(
                condition=Q(state=REQUESTED, decided_by__isnull=True, decided_at__isnull=True, entry__isnull=True)
                | Q(state=REJECTED, decided_by__isnull=False, decided_at__isnull=False, entry__isnull=True)
                | Q(state=POSTED, decided_at__isnull=False, entry__isnull=False)
                & (Q(decided_by__isnull=False) | Q(kind__in=GIVEN)),
                name="billing_adjustment_decided_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["requested_at"], condition=Q(state=REQUESTED), name="billing_adjustment_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}: {self.state}"
