"""Instances: a client's contract for a slice plus the container that runs it."""

from django.conf import settings
from django.db import models

from hosting.models import Machine, Task
from marketplace.domain.instance_states import STATES
from marketplace.domain.rent import MAX_DIRECTORY_CHARS, MODES
from marketplace.domain.templates import HASH_CHARS, MAX_NAME_CHARS
from marketplace.models.offer import Offer
from marketplace.models.template import Template


class Instance(models.Model):
    """Terms are copied from the offer at rent time and never follow the listing."""

    class RentalType(models.TextChoices):
        ON_DEMAND = "on_demand"
        INTERRUPTIBLE = "interruptible"

    client = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="instances")
    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="instances")
    offer = models.ForeignKey(Offer, on_delete=models.PROTECT, related_name="instances")
    task = models.OneToOneField(Task, on_delete=models.PROTECT, related_name="instance")
    request_fingerprint = models.CharField(
        max_length=64, help_text="Hash of the rent request; tells a retry from a rival."
    )
    rental_type = models.CharField(max_length=14, choices=RentalType.choices)
    num_gpus = models.PositiveIntegerField()

    gpu_micros_per_hour = models.BigIntegerField(
        help_text="For all GPUs of the instance: the price in force. Follows the bid when the auction takes it in."
    )
    bid_micros_per_hour = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="For all GPUs; empty on demand. A new bid is a dirty mark until it is taken in.",
    )
    bid_placed_at = models.DateTimeField(null=True, blank=True)
    storage_micros_per_hour = models.BigIntegerField()
    storage_micros_per_gb_month = models.BigIntegerField()
    inet_up_micros_per_gb = models.BigIntegerField()
    inet_down_micros_per_gb = models.BigIntegerField()
    disk_gb = models.PositiveIntegerField()

    image = models.CharField(max_length=1024)
    mode = models.CharField(max_length=7, choices=[(mode, mode) for mode in MODES])
    runtype = models.CharField(max_length=80, help_text="As the client asked, for the API.")
    args = models.JSONField(default=list, blank=True)
    entrypoint = models.CharField(max_length=1024, blank=True)
    env = models.JSONField(default=dict, blank=True)
    onstart = models.TextField(blank=True)
    use_jupyter_lab = models.BooleanField(default=False, help_text="In mode jupyter: JupyterLab, else Notebook.")
    jupyter_dir = models.CharField(max_length=MAX_DIRECTORY_CHARS, blank=True)
    label = models.CharField(max_length=256, blank=True)
    template = models.ForeignKey(
        Template,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="instances",
        help_text="What it was rented with; all of it was copied, so the template may change or go.",
    )
    template_hash = models.CharField(max_length=HASH_CHARS, blank=True)
    template_name = models.CharField(max_length=MAX_NAME_CHARS, blank=True)
    ssh_port = models.PositiveIntegerField(null=True, blank=True)
    jupyter_token = models.CharField(max_length=64, blank=True, help_text="Random; the container knows it too.")

    state = models.CharField(max_length=12, choices=[(s, s) for s in STATES])
    state_since = models.DateTimeField()
    wants_running = models.BooleanField(default=True, help_text="What the client last asked for.")
    waiting_since = models.DateTimeField(null=True, blank=True, help_text="Since when it waits for GPUs.")
    status_message = models.TextField(blank=True)
    created_at = models.DateTimeField()
    running_since = models.DateTimeField(null=True, blank=True)
    end_at = models.DateTimeField(
        help_text="The lifetime: the listing's end date at rent time, or a later one the host granted since."
    )
    lifetime_stage = models.PositiveSmallIntegerField(
        default=0, help_text="How far the warnings about its end have gone: marketplace.domain.lifetimes."
    )
    destroyed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=STATES), name="instance_state_known"),
            models.CheckConstraint(
                condition=models.Q(rental_type="interruptible", bid_micros_per_hour__gt=0, bid_placed_at__isnull=False)
                | models.Q(rental_type="on_demand", bid_micros_per_hour__isnull=True),
                name="instance_bids_if_interruptible",
            ),
            models.UniqueConstraint(
                fields=["offer"], condition=models.Q(rental_type="on_demand"), name="offer_rented_on_demand_once"
            ),
        ]
        indexes = [
            models.Index(fields=["client"], condition=~models.Q(state="destroyed"), name="instance_live_by_client"),
            models.Index(fields=["machine"], condition=~models.Q(state="destroyed"), name="instance_live_by_machine"),
            models.Index(fields=["end_at"], condition=~models.Q(state="destroyed"), name="instance_live_by_end"),
        ]

    def __str__(self) -> str:
        return f"C.{self.pk}"

    @property
    def has_ssh(self) -> bool:
        """Whether an SSH server runs in it: in every mode but that of the image's own command."""
        return self.mode != "args"


class InstanceEvent(models.Model):
    """A change of an instance with its actor and machine-readable reason. Never edited."""

    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    from_state = models.CharField(max_length=12, blank=True)
    to_state = models.CharField(max_length=12, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["instance", "-at"])]

    def __str__(self) -> str:
        return f"instance {self.instance_id} {self.kind}"
