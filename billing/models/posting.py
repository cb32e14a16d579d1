"""Postings: one account's part of an entry."""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from billing.models.account import LedgerAccount
from billing.models.entry import Entry


class Posting(models.Model):
    """An amount on an account; positive is to the credit of its holder. Never changed or deleted."""

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="postings", db_index=False)
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="postings", db_index=False)
    amount_micros = models.BigIntegerField()
    occurred_at = models.DateTimeField(help_text="The entry's, repeated so that one account's period is one range.")

    objects: ClassVar[models.Manager["Posting"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entry", "account"], name="billing_posting_once_per_account"),
            models.CheckConstraint(condition=~Q(amount_micros=0), name="billing_posting_not_zero"),
        ]
        indexes = [
            # Read for every balance: the postings after the checkpoint, from the index alone.
            models.Index(fields=["account", "id"], include=["amount_micros"], name="billing_posting_balance"),
            models.Index(fields=["account", "occurred_at"], name="billing_posting_period"),
            # Of all accounts, for a week's invoices. Postings are written nearly in the order of their instants.
            BrinIndex(fields=["occurred_at"], autosummarize=True, name="billing_posting_instant"),
        ]

    def __str__(self) -> str:
        return f"{self.amount_micros} micro-dollars on account {self.account_id}"
