"""Clients' reports of machines."""

from django.conf import settings
from django.db import models

from hosting.domain import machine_reports as rules
from hosting.models.machine import Machine


class MachineReport(models.Model):
    """A client says that something is wrong with a machine. Its host reads the words, never whose they are."""

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="reports")
    reporter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="machine_reports")
    about = models.CharField(max_length=40, blank=True, help_text="What of the reporter's it was noticed on: C.12")
    kind = models.CharField(max_length=12, choices=list(rules.KINDS.items()))
    text = models.TextField()
    state = models.CharField(max_length=10, choices=[(s, s) for s in rules.TRANSITIONS], default=rules.OPEN)
    created_at = models.DateTimeField()
    answer = models.TextField(blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=list(rules.TRANSITIONS)), name="machine_report_state_known"
            ),
            models.UniqueConstraint(
                fields=["machine", "reporter", "kind"],
                condition=models.Q(state=rules.OPEN),
                name="machine_report_open_once",
            ),
        ]
        indexes = [models.Index(fields=["machine", "-created_at"], name="machine_report_by_machine")]

    def __str__(self) -> str:
        return f"report {self.pk} of machine {self.machine_id}"

    @property
    def is_open(self) -> bool:
        """Whether it waits for the host."""
        return self.state == rules.OPEN
