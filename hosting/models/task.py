"""Tasks: what an agent runs on a machine, whatever asked for it."""

from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models

from hosting.models.machine import Machine

PHASES = (
    "unknown",
    "pulling",
    "creating",
    "starting",
    "running",
    "stopping",
    "stopped",
    "exited",
    "removed",
    "failed",
)


class Task(models.Model):
    """Desired and observed state of one container. The agent brings the second to the first."""

    class Kind(models.TextChoices):
        INSTANCE = "instance"
        IDLE_JOB = "idle_job"
        BENCHMARK = "benchmark"
        CHALLENGE = "challenge"

    class Desired(models.TextChoices):
        RUNNING = "running"
        STOPPED = "stopped"
        REMOVED = "removed"

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="tasks")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    label = models.CharField(max_length=80)
    spec = models.JSONField(help_text="agent.protocol.ContainerSpec")
    authorized_keys = ArrayField(models.TextField(), default=list, blank=True)
    registry_login = models.TextField(
        blank=True, help_text="With what its image is fetched, sealed: hosting.sealed_logins."
    )
    stop_grace_seconds = models.PositiveIntegerField(default=10)
    notice = models.TextField(blank=True, help_text="Why others stop it, for who works in the container.")

    desired_state = models.CharField(max_length=8, choices=Desired.choices, default=Desired.STOPPED)
    run_generation = models.PositiveIntegerField(default=0)

    observed_phase = models.CharField(max_length=10, choices=[(p, p) for p in PHASES], default="unknown")
    observed_run_generation = models.PositiveIntegerField(default=0)
    observed_since = models.DateTimeField()
    exit_code = models.IntegerField(null=True, blank=True)
    reason = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)
    progress = models.FloatField(null=True, blank=True)
    result = models.TextField(null=True, blank=True, help_text="The last line of what ended, where one was wanted.")  # noqa: DJ001 - nothing read yet is not nothing there
    host_keys = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        help_text="Types and fingerprints of its SSH server.",
    )
    onstart_exit_code = models.PositiveIntegerField(null=True, blank=True, help_text="Of /root/onstart.sh in this run.")
    onstart_output = models.TextField(blank=True, help_text="Its last lines where it failed.")
    jupyter_state = models.CharField(max_length=10, blank=True, help_text="agent.protocol.JupyterState, in this run.")
    jupyter_message = models.TextField(blank=True, help_text="For the client, while it is installed or has failed.")
    disk_used_mb = models.PositiveIntegerField(null=True, blank=True)
    net_rx_bytes = models.PositiveBigIntegerField(default=0)
    net_tx_bytes = models.PositiveBigIntegerField(default=0)
    net_counted_at = models.DateTimeField(null=True, blank=True, help_text="When these last grew.")

    erased = ArrayField(
        models.CharField(max_length=20),
        default=list,
        blank=True,
        help_text="What the agent looked for and found gone when it had removed the task: agent.protocol.ERASED.",
    )
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True, help_text="When the agent said that nothing is left.")

    run_began_at: datetime | None = None
    """Not stored: while a report is taken in, when a run began that has ended by now."""

    class Meta:
        indexes = [
            models.Index(fields=["machine"], condition=models.Q(removed_at__isnull=True), name="task_live_by_machine")
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(desired_state__in=["running", "stopped", "removed"]),
                name="task_desired_known",
            ),
            models.CheckConstraint(condition=models.Q(observed_phase__in=PHASES), name="task_phase_known"),
        ]

    def __str__(self) -> str:
        return f"task {self.pk} {self.label}"


class TaskEvent(models.Model):
    """A change of a task's observed phase, as the agent told it."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField()
    phase = models.CharField(max_length=10)
    run_generation = models.PositiveIntegerField()
    reason = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["task", "-at"])]

    def __str__(self) -> str:
        return f"task {self.task_id} {self.phase}"


class PortLease(models.Model):
    """A host port given to a task for as long as the task exists, so that its address never changes."""

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="port_leases")
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="port_leases")
    host_port = models.PositiveIntegerField()
    container_port = models.PositiveIntegerField()
    protocol = models.CharField(max_length=3, choices=[("tcp", "tcp"), ("udp", "udp")])
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["machine", "host_port", "protocol"],
                condition=models.Q(released_at__isnull=True),
                name="one_lease_per_host_port",
            )
        ]

    def __str__(self) -> str:
        return f"{self.host_port}->{self.container_port}/{self.protocol}"
