"""What machines' reliability is computed from and where the computation has come to."""

from django.conf import settings
from django.db import models

from hosting.models.machine import Machine


class ReliabilityStanding(models.Model):
    """``hosting.domain.reliability.Standing`` of a machine at a midnight: a memory of what the events come to.

    Without the row everything is gone over from the machine's registration, with the same result.
    """

    machine = models.OneToOneField(Machine, primary_key=True, on_delete=models.PROTECT, related_name="standing")
    as_of = models.DateTimeField()
    up_hours = models.FloatField()
    down_hours = models.FloatField()
    launched = models.FloatField()
    launch_failed = models.FloatField()
    checks_passed = models.FloatField()
    checks_failed = models.FloatField()
    listed = models.BooleanField()
    online = models.BooleanField()
    engine_works = models.BooleanField()
    hit_seconds = models.FloatField()
    availability = models.FloatField(null=True, help_text="0..1, as are the next two: what the figures are made of.")
    launches = models.FloatField(null=True)
    checks = models.FloatField(null=True)
    advanced_at = models.DateTimeField(help_text="What was recorded up to then is in this row.")
    computed_at = models.DateTimeField(help_text="Of what instant the machine's two figures are.")

    def __str__(self) -> str:
        return f"standing of machine {self.machine_id}"


class QuietPeriod(models.Model):
    """Time that does not count against machines: maintenance of one that was announced, or an outage of our own."""

    class Kind(models.TextChoices):
        MAINTENANCE = "maintenance"
        OWN_OUTAGE = "own_outage"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    machine = models.ForeignKey(
        Machine, null=True, blank=True, on_delete=models.PROTECT, related_name="quiet_periods", help_text="Empty: all."
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    note = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(starts_at__lte=models.F("ends_at")), name="quiet_period_ordered"),
            models.CheckConstraint(
                condition=models.Q(kind="maintenance", machine__isnull=False)
                | models.Q(kind="own_outage", machine__isnull=True),
                name="quiet_period_of_one_or_all",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="own_outage") | models.Q(recorded_at__lte=models.F("starts_at")),
                name="maintenance_announced_before",
            ),
        ]
        indexes = [models.Index(fields=["ends_at"], name="quiet_period_by_end")]

    def __str__(self) -> str:
        return f"{self.kind} from {self.starts_at:%Y-%m-%d %H:%M}"


class Pulse(models.Model):
    """When a sweeper of ours last ran: what tells our own outages from those of machines."""

    name = models.CharField(max_length=20, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} at {self.at:%Y-%m-%d %H:%M:%S}"
