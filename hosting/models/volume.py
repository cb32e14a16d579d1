"""Volumes: disks of clients on a machine that outlive instances."""

from django.conf import settings
from django.db import models

from hosting.domain.volumes import DELETED, MAX_LABEL_CHARS, MAX_PATH_CHARS, STATES, volume_label
from hosting.models.machine import Machine
from hosting.models.task import Task


class Volume(models.Model):
    """Desired and observed state of one volume, and its terms, copied from the listing when it was rented."""

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="volumes")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="volumes")
    label = models.CharField(max_length=MAX_LABEL_CHARS, blank=True, help_text="Its name, unique on the machine.")
    size_gb = models.PositiveIntegerField()
    storage_micros_per_gb_month = models.BigIntegerField()
    storage_micros_per_hour = models.BigIntegerField()
    request_key = models.CharField(max_length=64, help_text="Hash of the request; tells a retry from another wish.")

    state = models.CharField(max_length=8, choices=[(s, s) for s in STATES])
    state_since = models.DateTimeField()
    reason = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)
    used_mb = models.PositiveIntegerField(null=True, blank=True, help_text="As the agent last measured.")
    created_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True, blank=True, help_text="When it was first there; never made anew then.")
    end_at = models.DateTimeField(help_text="The lifetime: the listing's end date then, or a later one granted since.")
    lifetime_stage = models.PositiveSmallIntegerField(default=0)
    deleted_at = models.DateTimeField(null=True, blank=True, help_text="When the agent said that nothing is left.")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=STATES), name="volume_state_known"),
            models.CheckConstraint(condition=models.Q(size_gb__gt=0), name="volume_has_a_size"),
            models.UniqueConstraint(
                fields=["owner", "machine", "label"],
                condition=~models.Q(label="") & ~models.Q(state=DELETED),
                name="one_live_volume_of_a_name",
            ),
        ]
        indexes = [
            models.Index(fields=["machine"], condition=~models.Q(state=DELETED), name="volume_live_by_machine"),
            models.Index(fields=["owner"], condition=~models.Q(state=DELETED), name="volume_live_by_owner"),
        ]

    def __str__(self) -> str:
        return volume_label(self.pk)

    @property
    def name(self) -> str:
        """What its owner calls it, else its number."""
        return self.label or volume_label(self.pk)


class VolumeMount(models.Model):
    """A volume in a task's container, for as long as the task exists."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="volume_mounts")
    volume = models.ForeignKey(Volume, on_delete=models.PROTECT, related_name="mounts")
    path = models.CharField(max_length=MAX_PATH_CHARS)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "path"], name="one_volume_per_path")]

    def __str__(self) -> str:
        return f"volume {self.volume_id} on {self.path} of task {self.task_id}"


class VolumeEvent(models.Model):
    """A change of a volume with its actor and machine-readable reason. Never edited."""

    volume = models.ForeignKey(Volume, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    from_state = models.CharField(max_length=8, blank=True)
    to_state = models.CharField(max_length=8, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["volume", "-at"])]

    def __str__(self) -> str:
        return f"volume {self.volume_id} {self.kind}"
