"""Webhooks: where an account's programs hear of its instances, and what was sent there."""

from django.conf import settings
from django.db import models

from marketplace.models.notice import Notice


class Webhook(models.Model):
    """One for each account that ever had one, with its health.

    A removed one keeps its row, empty and inactive: a notice that is written at the same moment refers to it.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhook")
    url = models.CharField(max_length=2000, blank=True, help_text="Empty when removed.")
    secret = models.CharField(max_length=100, blank=True, help_text="whsec_… of the Standard Webhooks specification.")
    previous_secret = models.CharField(max_length=100, blank=True, help_text="Signs too, until the time beside it.")
    previous_secret_until = models.DateTimeField(null=True, blank=True)
    active = models.BooleanField()
    created_at = models.DateTimeField()

    last_success_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True, help_text="First failure after the last success.")
    consecutive_failures = models.PositiveIntegerField(default=0, help_text="Attempts since the last success.")
    given_up_in_row = models.PositiveIntegerField(default=0, help_text="Events since the last success.")
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"webhook {self.pk}"


class WebhookDelivery(models.Model):
    """One event on its way to a webhook. The row is the queue: ``next_attempt_at`` is when to try, and empty once it
    is delivered or given up. While an attempt is under way it is the moment from which it counts as lost."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    notice = models.OneToOneField(
        Notice, null=True, blank=True, on_delete=models.PROTECT, related_name="delivery", help_text="Empty for tests."
    )
    message_id = models.CharField(max_length=40, unique=True, help_text="Same at every attempt.")
    event = models.CharField(max_length=40)
    body = models.TextField(help_text="The JSON as it is signed and sent.")
    created_at = models.DateTimeField()

    next_attempt_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Begun, not necessarily ended.")
    delivered_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="HTTP status of the last answer.")
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(
                fields=["webhook", "next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="delivery_due",
            ),
            models.Index(fields=["webhook", "-id"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.message_id}"
