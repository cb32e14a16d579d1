"""How far a new version of the agent may spread by itself."""

from django.core.validators import MaxValueValidator
from django.db import models


class AgentRollout(models.Model):
    """Staff's decision. There is one row, or none, which means everywhere."""

    ONLY = 1

    percent = models.PositiveSmallIntegerField(
        default=100,
        validators=[MaxValueValidator(100)],
        help_text="Share of the machines that are told of the present version, always the same ones. More can follow.",
    )
    paused = models.BooleanField(default=False, help_text="No agent replaces itself; those that did stay as they are.")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(percent__lte=100), name="agent_rollout_percent"),
            models.CheckConstraint(condition=models.Q(id=1), name="agent_rollout_only"),
        ]

    def __str__(self) -> str:
        return "paused" if self.paused else f"{self.percent}% of the machines"
