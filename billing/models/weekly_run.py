"""Weekly runs: one for every week that hosts are invoiced for."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q


class WeeklyRunState(models.TextChoices):
    OPEN = "open", "Open"
    DONE = "done", "Done"


class WeeklyRun(models.Model):
    """The invoices of one week: which postings are theirs, and what came of it.

    A usage posting is on the invoices of the first run whose week ended no earlier than the posting took effect and
    which looked at least as far as the posting. Both only grow from run to run, so every posting is on one invoice. One
    that is written late, when its own week is invoiced already, is on the next.
    """

    period_start = models.DateTimeField(unique=True)
    period_end = models.DateTimeField(unique=True, help_text="A Friday, 00:00 UTC.")
    through_posting_id = models.BigIntegerField(
        null=True, blank=True, help_text="The last posting that was looked at; empty until all meters are settled."
    )
    state = models.CharField(max_length=8, choices=WeeklyRunState.choices, default=WeeklyRunState.OPEN)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    invoices_count = models.IntegerField(default=0)
    gross_micros = models.BigIntegerField(default=0, help_text="What clients were charged.")
    net_micros = models.BigIntegerField(default=0, help_text="What hosts earned.")

    objects: ClassVar[models.Manager["WeeklyRun"]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=WeeklyRunState.values), name="billing_weekly_state_known"),
            models.CheckConstraint(condition=Q(period_end__gt=F("period_start")), name="billing_weekly_forward"),
            models.CheckConstraint(
                condition=Q(state=WeeklyRunState.OPEN) | Q(through_posting_id__isnull=False, finished_at__isnull=False),
                name="billing_weekly_done_is_complete",
            ),
        ]

    def __str__(self) -> str:
        return f"week to {self.period_end:%Y-%m-%d}"
