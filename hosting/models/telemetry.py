"""What was measured on machines, and what was found wrong with their GPUs."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from hosting.models.gpu import Gpu
from hosting.models.machine import Machine


class TelemetryWindow(models.Model):
    """All that was seen on one machine in a stretch of time: one row for machine, GPUs and tasks together.

    ``content`` is ``hosting.domain.telemetry.Content`` as MessagePack.
    """

    machine = models.ForeignKey(Machine, on_delete=models.CASCADE, related_name="telemetry_windows")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    level = models.PositiveSmallIntegerField(help_text="How coarse: hosting.domain.telemetry.LEVELS.")
    content = models.BinaryField()

    class Meta:
        indexes = [
            models.Index(fields=["machine", "started_at"], name="telemetry_of_machine"),
            models.Index(fields=["level", "started_at"], name="telemetry_to_join"),
            BrinIndex(fields=["started_at"], name="telemetry_by_age"),
        ]

    def __str__(self) -> str:
        return f"machine {self.machine_id} from {self.started_at}"


class TelemetryReceipt(models.Model):
    """Up to which number the windows of each of a machine's latest sessions were taken in: each counts once."""

    machine = models.OneToOneField(Machine, on_delete=models.CASCADE, primary_key=True, related_name="+")
    sessions = models.JSONField(default=list, help_text="Pairs of session and number, the latest last.")
    hour = models.DateTimeField(null=True, help_text="The hour that ``taken`` is of.")
    taken = models.PositiveIntegerField(default=0, help_text="How many windows came in this hour.")

    def __str__(self) -> str:
        return f"measurements of machine {self.machine_id}"


class GpuHealth(models.Model):
    """What is known of one GPU's condition: ``hosting.domain.gpu_health.Condition``, field by field."""

    gpu = models.OneToOneField(Gpu, on_delete=models.CASCADE, primary_key=True, related_name="health")
    fault = models.CharField(max_length=40, blank=True, help_text="Why it is off the market; empty while it is well.")
    detail = models.CharField(max_length=120, blank=True)
    since = models.DateTimeField(null=True, blank=True)
    fault_boot_id = models.CharField(max_length=64, blank=True)
    suspect = models.CharField(max_length=40, blank=True, help_text="What is wrong, but not long enough to act.")
    suspect_since = models.DateTimeField(null=True, blank=True)
    well_since = models.DateTimeField(null=True, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    boot_id = models.CharField(max_length=64, blank=True)
    vram_mb = models.PositiveIntegerField(null=True, blank=True, help_text="At the beginning of this boot.")
    pcie_lanes = models.PositiveIntegerField(null=True, blank=True, help_text="At the beginning of this boot.")

    def __str__(self) -> str:
        return f"GPU {self.gpu_id}: {self.fault or 'well'}"
