"""Idle jobs: what a host's machine does while nobody rents it."""

from django.db import models

from hosting.models.gpu import Gpu
from hosting.models.machine import Machine
from hosting.models.task import Task


class IdleJob(models.Model):
    """The host's own job of the lowest priority. Its price is a floor under every bid; it costs and earns nothing."""

    machine = models.OneToOneField(Machine, on_delete=models.PROTECT, related_name="idle_job")
    image = models.CharField(max_length=1024)
    args = models.JSONField(default=list, blank=True, help_text="Command line, as a list of words.")
    price_micros_per_gpu_hour = models.BigIntegerField()
    active = models.BooleanField(default=True)
    set_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(price_micros_per_gpu_hour__gte=0), name="idle_job_price_not_negative"
            )
        ]

    def __str__(self) -> str:
        return f"idle job of machine {self.machine_id}"


class IdleTask(models.Model):
    """The idle job's container on one GPU. When the job becomes a different one its task is removed for a new one."""

    task = models.OneToOneField(Task, on_delete=models.PROTECT, related_name="idle_task")
    gpu = models.ForeignKey(Gpu, on_delete=models.PROTECT, related_name="idle_tasks")

    def __str__(self) -> str:
        return f"idle job on GPU {self.gpu_id}"
