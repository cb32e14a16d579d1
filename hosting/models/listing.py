"""Listings: the terms a host rents a machine out at."""

from django.db import models

from hosting.domain.sandboxes import CHOICES, NONE
from hosting.models.machine import Machine


class Listing(models.Model):
    """The host's terms for a machine. Prices are integer micro-dollars. Unlisting keeps the terms for the next time."""

    machine = models.OneToOneField(Machine, on_delete=models.PROTECT, related_name="listing")
    gpu_micros_per_hour = models.BigIntegerField(help_text="On-demand price of one GPU.")
    storage_micros_per_gb_month = models.BigIntegerField()
    inet_up_micros_per_gb = models.BigIntegerField()
    inet_down_micros_per_gb = models.BigIntegerField()
    min_bid_micros_per_gpu_hour = models.BigIntegerField(default=0)
    min_gpus = models.PositiveIntegerField(default=1)
    sandbox = models.CharField(max_length=8, choices=CHOICES, default=NONE, help_text="What guests run in.")
    end_at = models.DateTimeField(help_text="No rental outlives this.")
    active = models.BooleanField(default=True)
    listed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    gpu_micros_per_hour__gt=0,
                    storage_micros_per_gb_month__gte=0,
                    inet_up_micros_per_gb__gte=0,
                    inet_down_micros_per_gb__gte=0,
                    min_bid_micros_per_gpu_hour__gte=0,
                    min_gpus__gte=1,
                ),
                name="listing_prices_sane",
            ),
            models.CheckConstraint(
                condition=models.Q(sandbox__in=["none", "gvisor", "kata"]), name="listing_sandbox_known"
            ),
        ]

    def __str__(self) -> str:
        return f"listing of machine {self.machine_id}"
