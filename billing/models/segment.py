"""Meter segments: the record that a meter's units are proven against."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from billing.models.meter import Meter


class MeterSegment(models.Model):
    """A time at one rate: a run of a time meter, or a price of a traffic meter with the bytes counted at
    it.
    """

    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="segments")
    rate_micros = models.BigIntegerField(help_text="Micro-dollars per hour; per GB for traffic.")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Empty while it lasts.")
    counted_bytes = models.BigIntegerField(default=0)

    objects: ClassVar[models.Manager["MeterSegment"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["meter"], condition=Q(ended_at__isnull=True), name="billing_segment_one_open"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")),
                name="billing_segment_forward",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.meter_id} from {self.started_at:%Y-%m-%d %H:%M:%S}"
