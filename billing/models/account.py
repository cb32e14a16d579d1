"""Ledger accounts: whose money it is."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q


class AccountKind(models.TextChoices):
    CLIENT_CREDIT = "client_credit", "Client credit"
    HOST_EARNINGS = "host_earnings", "Host earnings"
    PLATFORM_FEES = "platform_fees", "Platform fees"
    PROCESSOR_CLEARING = "processor_clearing", "Processor clearing"
    PAYOUTS_PENDING = "payouts_pending", "Payouts on their way"
    REFUNDS = "refunds", "Refunds"
    ADJUSTMENTS = "adjustments", "Adjustments"


OWNED_KINDS = (AccountKind.CLIENT_CREDIT, AccountKind.HOST_EARNINGS)


class LedgerAccount(models.Model):
    """One side of postings. Its balance is the checkpoint plus the postings after it, never a running
    column.
    """

    kind = models.CharField(max_length=24, choices=AccountKind.choices)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="ledger_accounts",
    )
    reference = models.CharField(
        max_length=100,
        blank=True,
        default="",
        help_text="Tells accounts of one kind apart: the processor's name.",
    )
    checkpoint_micros = models.BigIntegerField(default=0, help_text="Sum of postings up to the checkpoint.")
    checkpoint_posting_id = models.BigIntegerField(default=0, help_text="The last posting in the checkpoint.")
    zero_at = models.DateTimeField(
        null=True, blank=True, help_text="When the credit is used up at present rates; empty if never."
    )
    debt_limit_at = models.DateTimeField(
        null=True, blank=True, help_text="When the debt reaches its limit at present rates; empty if never."
    )
    credit_stage = models.PositiveSmallIntegerField(
        default=0, help_text="How far the warnings about its end have gone: billing.domain.running_out."
    )
    granted_micros = models.BigIntegerField(
        default=0, help_text="All credit that staff gave: it speaks for a client like use that was paid for."
    )
    threshold_micros = models.BigIntegerField(
        null=True, blank=True, help_text="Auto-billing charges when the balance is below this; empty when it is off."
    )
    threshold_at = models.DateTimeField(
        null=True, blank=True, help_text="When the balance falls below the threshold at present rates; empty if never."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["LedgerAccount"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "owner", "reference"], nulls_distinct=False, name="billing_account_unique"
            ),
            models.CheckConstraint(condition=Q(kind__in=AccountKind.values), name="billing_account_kind_known"),
            models.CheckConstraint(
                condition=Q(kind__in=OWNED_KINDS, owner__isnull=False)
                | (~Q(kind__in=OWNED_KINDS) & Q(owner__isnull=True)),
                name="billing_account_owner_fits_kind",
            ),
        ]
        indexes = [
            models.Index(
                fields=["threshold_at"], condition=Q(threshold_at__isnull=False), name="billing_account_threshold_at"
            ),
            models.Index(fields=["zero_at"], condition=Q(zero_at__isnull=False), name="billing_account_zero_at"),
            models.Index(fields=["credit_stage"], condition=Q(credit_stage__gt=0), name="billing_account_credit_stage"),
        ]

    def __str__(self) -> str:
        name = f"{self.kind} {self.reference}".strip()
        return f"{name} of account {self.owner_id}" if self.owner_id else name
