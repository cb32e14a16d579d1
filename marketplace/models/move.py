"""Moves of instances to other machines."""

from django.conf import settings
from django.db import models

from hosting.models import Job
from marketplace.domain.moves import OPEN, STATES
from marketplace.models.instance import Instance


class Move(models.Model):
    """One move: two contracts, of which in the end one is left. See ``marketplace/domain/moves.py``."""

    client = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="moves")
    source = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="moves_out")
    target = models.OneToOneField(Instance, on_delete=models.PROTECT, related_name="move_in")
    state = models.CharField(max_length=8, choices=[(s, s) for s in STATES], default="asked")
    reason = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)
    resumes_source = models.BooleanField(
        default=False, help_text="Whether the source wanted to run, and is to do so again if the move fails."
    )
    sending = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    receiving = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()
    state_since = models.DateTimeField()
    settled_at = models.DateTimeField(
        null=True, blank=True, help_text="When its jobs had ended and the contract that is not kept had been ended too."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=STATES), name="move_state_known"),
            models.UniqueConstraint(
                fields=["source"], condition=models.Q(settled_at__isnull=True), name="one_open_move_per_source"
            ),
            models.CheckConstraint(
                condition=models.Q(settled_at__isnull=True) | ~models.Q(state__in=OPEN), name="move_open_is_unsettled"
            ),
        ]

    def __str__(self) -> str:
        return f"move {self.pk}"
