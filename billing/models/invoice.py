"""Host invoices: what a host earned in a week, by what earned it."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.models.meter import MeterKind
from billing.models.weekly_run import WeeklyRun


class HostInvoice(models.Model):
    """One week of one host: gross is what clients paid, fee the platform's part, net the host's."""

    number = models.CharField(max_length=40, unique=True)
    host = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="host_invoices")
    run = models.ForeignKey(WeeklyRun, on_delete=models.PROTECT, related_name="invoices")
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    gross_micros = models.BigIntegerField()
    fee_micros = models.BigIntegerField()
    net_micros = models.BigIntegerField()
    issued_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True, blank=True, help_text="When the host's mail was queued.")

    objects: ClassVar[models.Manager["HostInvoice"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["host", "period_end"], name="billing_invoice_once_a_week"),
            models.CheckConstraint(
                condition=Q(gross_micros=F("fee_micros") + F("net_micros")), name="billing_invoice_adds_up"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(told_at__isnull=True), name="billing_invoice_untold"),
        ]

    def __str__(self) -> str:
        return f"invoice {self.number}"


class HostInvoiceLine(models.Model):
    """What one thing of the host's earned by one kind of use."""

    invoice = models.ForeignKey(HostInvoice, on_delete=models.PROTECT, related_name="lines", db_index=False)
    earner = models.CharField(max_length=100, blank=True, help_text='Such as "machine:7".')
    kind = models.CharField(max_length=12, choices=MeterKind.choices)
    quantity = models.BigIntegerField(help_text="Seconds that were charged; bytes for traffic.")
    gross_micros = models.BigIntegerField()
    fee_micros = models.BigIntegerField()
    net_micros = models.BigIntegerField()

    objects: ClassVar[models.Manager["HostInvoiceLine"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "earner", "kind"], name="billing_invoice_line_once"),
            models.CheckConstraint(condition=Q(kind__in=MeterKind.values), name="billing_invoice_line_kind_known"),
            models.CheckConstraint(
                condition=Q(gross_micros=F("fee_micros") + F("net_micros")), name="billing_invoice_line_adds_up"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.earner}"
