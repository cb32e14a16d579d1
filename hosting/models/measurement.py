"""Measurements: what a machine did when a program of ours ran on it."""

from django.conf import settings
from django.db import models

from hosting.domain import measuring as rules
from hosting.models.machine import Machine
from hosting.models.task import Task


class Measurement(models.Model):
    """One run of a program of ours on all GPUs of a machine, from its being asked for to its result.

    Where a guest interrupts it, it begins anew with a new task.
    """

    class Kind(models.TextChoices):
        BENCHMARK = "benchmark"
        CHALLENGE = "challenge"

    class Reason(models.TextChoices):
        HOST = "host", "asked for by the host"
        STAFF = "staff", "asked for by staff"
        FIRST = "first", "first measurement"
        HARDWARE = "hardware", "hardware or driver changed"
        LISTING = "listing", "put on the market"
        WEEKLY = "weekly", "weekly"
        RETEST = "retest", "the last challenge was failed"
        RESTART = "restart", "the machine restarted"
        DAILY = "daily", "at random, about daily"

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="measurements")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    reason = models.CharField(max_length=12, choices=Reason.choices)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    task = models.OneToOneField(
        Task, null=True, blank=True, on_delete=models.PROTECT, related_name="measurement", help_text="The latest."
    )

    state = models.CharField(max_length=10, choices=[(s, s) for s in rules.STATES], default=rules.WAITING)
    parameters = models.JSONField(default=dict, blank=True, help_text="What the program was given in its last try.")
    asked_at = models.DateTimeField()
    not_before = models.DateTimeField(help_text="When the next try may begin.")
    ordered_at = models.DateTimeField(null=True, blank=True, help_text="When the present or last try got the GPUs.")
    running_since = models.DateTimeField(
        null=True, blank=True, help_text="When its container began, as the agent told."
    )
    finished_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="Tries that the machine failed.")
    interruptions = models.PositiveIntegerField(default=0, help_text="Tries that a guest ended.")
    problem = models.CharField(max_length=40, blank=True, help_text="Why the last try came to nothing.")
    message = models.TextField(blank=True, help_text="The same as a sentence.")

    gpu_name = models.CharField(max_length=80)
    gpu_count = models.PositiveIntegerField()
    simulated = models.BooleanField(help_text="Of a machine whose GPUs are simulated.")
    hardware = models.CharField(max_length=32, help_text="Digest of what was measured.")
    is_cpu = models.BooleanField(default=False, help_text="No GPU took part.")
    result = models.JSONField(null=True, blank=True)
    score = models.FloatField(null=True, blank=True, help_text="DLPerf of one GPU.")
    formula_version = models.PositiveIntegerField(null=True, blank=True)
    usual_score = models.FloatField(null=True, blank=True, help_text="Median of the machine's earlier runs.")
    score_change = models.FloatField(null=True, blank=True, help_text="Against the usual score, as a part of it.")
    is_drop = models.BooleanField(default=False)
    is_implausible = models.BooleanField(
        default=False, help_text="No such GPU can do that; the message says what. The score counts nowhere."
    )

    class Meta:
        indexes = [models.Index(fields=["machine", "-asked_at"])]
        constraints = [
            models.UniqueConstraint(
                fields=["machine", "kind"],
                condition=models.Q(state__in=rules.OPEN),
                name="one_open_measurement_per_kind",
            ),
            models.UniqueConstraint(
                fields=["machine"],
                condition=models.Q(state=rules.RUNNING),
                name="one_running_measurement_per_machine",
            ),
            models.CheckConstraint(condition=models.Q(state__in=rules.STATES), name="measurement_state_known"),
            models.CheckConstraint(
                condition=~models.Q(state=rules.RUNNING) | models.Q(task__isnull=False, ordered_at__isnull=False),
                name="measurement_runs_as_a_task",
            ),
            models.CheckConstraint(
                condition=models.Q(finished_at__isnull=True, state__in=rules.OPEN)
                | (models.Q(finished_at__isnull=False) & ~models.Q(state__in=rules.OPEN)),
                name="measurement_finished_when_final",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} of machine {self.machine_id}"
