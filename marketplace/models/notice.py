"""Notices: what a client was told, or is still to be told."""

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from marketplace.domain.notices import INSTANCE_KINDS, KINDS
from marketplace.models.instance import Instance


class Notice(models.Model):
    """Something that happened, in words and as data, and how far its mail has come.

    The row is the mail's queue: ``mail_next_at`` is when to try, and empty once there is nothing left to do.
    """

    client = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="notices")
    instance = models.ForeignKey(Instance, null=True, blank=True, on_delete=models.PROTECT, related_name="notices")
    kind = models.CharField(max_length=20, choices=[(k, k) for k in KINDS])
    at = models.DateTimeField()
    subject = models.CharField(max_length=200)
    text = models.TextField()
    data = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder, help_text="As webhooks get it.")
    key = models.CharField(max_length=200, unique=True, help_text="Of what is told once only.")

    mailed_at = models.DateTimeField(null=True, blank=True)
    mail_attempts = models.PositiveSmallIntegerField(default=0)
    mail_next_at = models.DateTimeField(null=True, blank=True)
    mail_given_up_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=KINDS), name="notice_kind_known"),
            models.CheckConstraint(
                condition=models.Q(instance__isnull=False, kind__in=INSTANCE_KINDS)
                | models.Q(instance__isnull=True) & ~models.Q(kind__in=INSTANCE_KINDS),
                name="notice_has_its_instance",
            ),
        ]
        indexes = [
            models.Index(
                fields=["mail_next_at"], condition=models.Q(mail_next_at__isnull=False), name="notice_mail_due"
            )
        ]

    def __str__(self) -> str:
        return f"notice {self.pk}: {self.kind}"
