"""Meters: what runs and what it costs."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.domain.accrual import BYTES_PER_GB, MICROSECONDS_PER_HOUR, MeterState


class MeterKind(models.TextChoices):
    GPU = "gpu", "GPU time"
    STORAGE = "storage", "Storage"
    TRAFFIC = "traffic", "Traffic"


class Meter(models.Model):
    """One thing that one account pays another for, by time or by bytes. A running meter costs no writes."""

    reference = models.CharField(max_length=100, unique=True, help_text='Such as "instance:12:gpu".')
    kind = models.CharField(max_length=12, choices=MeterKind.choices)
    earner = models.CharField(
        max_length=100, default="", blank=True, help_text='What earns it, as invoices list it, such as "machine:7".'
    )
    payer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="meters_paid")
    payee = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="meters_earned")
    rate_micros = models.BigIntegerField(help_text="Micro-dollars per hour; per GB (10^9 bytes) for traffic.")
    host_share_bps = models.PositiveIntegerField(help_text="The payee's part in hundredths of a percent.")
    running_since = models.DateTimeField(null=True, blank=True, help_text="Start of the present run; empty if paused.")
    settled_at = models.DateTimeField(help_text="Everything up to here is counted in units.")
    units = models.DecimalField(
        max_digits=40, decimal_places=0, default=0, help_text="Rate * microseconds (or bytes) counted."
    )
    counted_bytes = models.BigIntegerField(default=0, help_text="Traffic reported so far.")
    posted_micros = models.BigIntegerField(default=0, help_text="What is in the ledger.")
    share_units = models.DecimalField(
        max_digits=40, decimal_places=0, default=0, help_text="Posted micro-dollars * the payee's share."
    )
    postings_count = models.IntegerField(default=0, help_text="Numbers the entries of this meter.")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager["Meter"]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=MeterKind.values), name="billing_meter_kind_known"),
            models.CheckConstraint(condition=~Q(payer=F("payee")), name="billing_meter_two_parties"),
            models.CheckConstraint(condition=Q(host_share_bps__lte=10_000), name="billing_meter_share_in_range"),
            models.CheckConstraint(
                condition=Q(
                    rate_micros__gte=0,
                    units__gte=0,
                    counted_bytes__gte=0,
                    posted_micros__gte=0,
                    share_units__gte=0,
                    postings_count__gte=0,
                ),
                name="billing_meter_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(running_since__isnull=True)
                | (~Q(kind=MeterKind.TRAFFIC) & Q(closed_at__isnull=True, running_since__lte=F("settled_at"))),
                name="billing_meter_running_is_possible",
            ),
        ]
        indexes = [
            models.Index(fields=["payer"], condition=Q(closed_at__isnull=True), name="billing_meter_open_payer"),
            models.Index(fields=["payee"], condition=Q(closed_at__isnull=True), name="billing_meter_open_payee"),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def state(self) -> MeterState:
        """What the pure arithmetic needs."""
        return MeterState(
            rate_micros=self.rate_micros,
            quantum=quantum_of(self.kind),
            units=int(self.units),
            settled_at=self.settled_at,
            running=self.running_since is not None,
            posted_micros=self.posted_micros,
            share_units=int(self.share_units),
            host_share_bps=self.host_share_bps,
        )


def quantum_of(kind: str) -> int:
    """What a rate of this kind of meter is per: microseconds or bytes."""
    return BYTES_PER_GB if kind == MeterKind.TRAFFIC else MICROSECONDS_PER_HOUR
