"""Records of the ledger's periodic work."""

from typing import ClassVar

from django.db import models


class CheckpointRun(models.Model):
    """A finished run: every account's checkpoint includes its postings up to this one."""

    through_posting_id = models.BigIntegerField()
    accounts_count = models.IntegerField()
    ran_at = models.DateTimeField()

    objects: ClassVar[models.Manager["CheckpointRun"]] = models.Manager()

    def __str__(self) -> str:
        return f"through posting {self.through_posting_id}"


class LedgerCheckRun(models.Model):
    """What a nightly proof of the ledger found; no discrepancies is as it should be."""

    ran_at = models.DateTimeField(db_index=True)
    discrepancies_count = models.IntegerField()
    discrepancies = models.JSONField(default=list, blank=True)

    objects: ClassVar[models.Manager["LedgerCheckRun"]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.ran_at:%Y-%m-%d %H:%M}: {self.discrepancies_count} discrepancies"
