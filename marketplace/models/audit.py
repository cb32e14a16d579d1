"""Who did what that staff or an account's owner may one day have to prove."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class AuditEntry(models.Model):
    """One act of staff, or one that concerns an account's security. The database refuses to change or delete it."""

    at = models.DateTimeField()
    action = models.CharField(max_length=60, help_text="marketplace.domain.audit.ACTIONS")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: nobody who is signed in, or a rule of the marketplace.",
    )
    behind = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The member of staff who looked at the site as the actor.",
    )
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="audit_entries",
        help_text="Whose account this is about.",
    )
    object_type = models.CharField(max_length=60, blank=True)
    object_id = models.CharField(max_length=60, blank=True)
    message = models.TextField(blank=True)
    details = models.JSONField(default=dict, blank=True)
    address = models.CharField(max_length=45, blank=True, help_text="Where the request came from.")
    request_id = models.CharField(max_length=60, blank=True, help_text="The same in the logs.")

    objects: ClassVar[models.Manager["AuditEntry"]] = models.Manager()

    class Meta:
        verbose_name_plural = "audit log"
        indexes = [
            models.Index(fields=["-at"], name="audit_at"),
            models.Index(fields=["account", "-at"], name="audit_account"),
            models.Index(fields=["actor", "-at"], name="audit_actor"),
            models.Index(fields=["object_type", "object_id", "-at"], name="audit_object"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.action}"
