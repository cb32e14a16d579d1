"""Events that payment providers told, by webhook or when asked. Each row is its own place in the queue."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class ProviderEvent(models.Model):
    """Something happened at a provider. It says where to look, never what is so."""

    class State(models.TextChoices):
        RECEIVED = "received", "To be processed"
        PROCESSED = "processed", "Processed"
        IGNORED = "ignored", "Not about us"
        FAILED = "failed", "Given up"

    provider = models.CharField(max_length=20)
    event_id = models.CharField(max_length=200)
    type = models.CharField(max_length=100)
    payload = models.JSONField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.RECEIVED)
    received_at = models.DateTimeField(db_index=True)
    processed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.IntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True, default="")

    objects: ClassVar[models.Manager["ProviderEvent"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "event_id"], name="billing_event_once"),
            models.CheckConstraint(
                condition=Q(state__in=["received", "processed", "ignored", "failed"]), name="billing_event_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="received", next_attempt_at__isnull=False)
                | ~Q(state="received") & Q(next_attempt_at__isnull=True),
                name="billing_event_waits_when_received",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(next_attempt_at__isnull=False), name="billing_event_next"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.type} {self.event_id}"


class ProviderCursor(models.Model):
    """Up to when a provider's own list of events was read."""

    provider = models.CharField(max_length=20, unique=True)
    read_until = models.DateTimeField()

    objects: ClassVar[models.Manager["ProviderCursor"]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.provider} up to {self.read_until:%Y-%m-%d %H:%M}"
