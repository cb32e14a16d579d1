"""Copies of files from one instance to another."""

from django.conf import settings
from django.db import models

from hosting.models import Job
from marketplace.domain.copies import OPEN, STATES
from marketplace.models.instance import Instance


class Copy(models.Model):
    """One copy. A job of the target's machine does it; see ``marketplace/domain/copies.py``."""

    client = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="copies")
    source = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="copies_out")
    target = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="copies_in")
    source_path = models.TextField()
    target_path = models.TextField()
    public_key = models.TextField(help_text="Opens the source to this copy alone, for as long as it is open.")
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    state = models.CharField(max_length=8, choices=[(s, s) for s in STATES], default=OPEN)
    reason = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(
        null=True, blank=True, help_text="When its job was ended and its key taken from the source again."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=STATES), name="copy_state_known"),
            models.CheckConstraint(
                condition=models.Q(state=OPEN, ended_at=None)
                | ~models.Q(state=OPEN) & models.Q(ended_at__isnull=False),
                name="copy_ended_unless_open",
            ),
        ]
        indexes = [
            models.Index(fields=["settled_at"], condition=models.Q(settled_at=None), name="copy_unsettled"),
            models.Index(fields=["target", "-id"], name="copy_by_target"),
            models.Index(fields=["source", "-id"], name="copy_by_source"),
        ]

    def __str__(self) -> str:
        return f"copy {self.pk}"
