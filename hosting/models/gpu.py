"""GPUs and who holds them."""

from django.db import models

from hosting.models.machine import Machine
from hosting.models.task import Task


class Gpu(models.Model):
    """One GPU of a machine, as the agent reports it."""

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="gpus")
    index = models.PositiveIntegerField()
    uuid = models.CharField(max_length=80)
    model = models.CharField(max_length=80)
    vram_mb = models.PositiveIntegerField()
    compute_capability = models.CharField(max_length=8)
    pci_bus_id = models.CharField(max_length=40)
    pcie_gen = models.PositiveIntegerField()
    pcie_lanes = models.PositiveIntegerField()
    power_limit_w = models.PositiveIntegerField()
    max_temperature_c = models.PositiveIntegerField()
    memory_bandwidth_gbps = models.FloatField()
    fp32_tflops = models.FloatField()
    display_active = models.BooleanField(default=False)
    unhealthy_reason = models.CharField(max_length=200, blank=True)
    present = models.BooleanField(default=True, help_text="In the machine's latest inventory.")

    class Meta:
        ordering = ["machine_id", "index"]
        constraints = [
            models.UniqueConstraint(fields=["uuid"], condition=models.Q(present=True), name="gpu_uuid_in_one_machine"),
            models.UniqueConstraint(fields=["machine", "uuid"], name="gpu_once_per_machine"),
        ]

    def __str__(self) -> str:
        return f"{self.model} #{self.index} of machine {self.machine_id}"


class GpuClaim(models.Model):
    """A task holds a GPU from ``claimed_at`` until ``released_at``. The database allows one live claim per GPU."""

    gpu = models.ForeignKey(Gpu, on_delete=models.PROTECT, related_name="claims")
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="gpu_claims")
    claimed_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["gpu"], condition=models.Q(released_at__isnull=True), name="one_live_claim_per_gpu"
            )
        ]
        indexes = [models.Index(fields=["released_at"], name="claim_by_release")]

    def __str__(self) -> str:
        return f"task {self.task_id} on GPU {self.gpu_id}"
