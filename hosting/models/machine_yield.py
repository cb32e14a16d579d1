"""What machines brought in lately, summed up for estimates."""

from typing import ClassVar

from django.db import models

from hosting.models.machine import Machine


class MachineYield(models.Model):
    """One machine over the days before ``computed_at``, as many as it was there, at most the window of estimates."""

    machine = models.OneToOneField(Machine, primary_key=True, on_delete=models.PROTECT, related_name="latest_yield")
    computed_at = models.DateTimeField()
    days = models.FloatField()
    earned_micros = models.BigIntegerField(help_text="Its host's part.")
    rented_gpu_hours = models.FloatField()

    objects: ClassVar[models.Manager["MachineYield"]] = models.Manager()

    def __str__(self) -> str:
        return f"yield of machine {self.machine_id}"
