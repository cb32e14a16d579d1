"""Machines and what happened to them."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from agent.protocol import ABILITY_JUPYTER
from agent.volume_protocol import ABILITY_VOLUMES
from hosting.domain.benchmarks import kept_scores
from hosting.domain.port_checks import reachable_ports
from hosting.domain.reliability import NO_HISTORY


class Machine(models.Model):
    """One physical computer of a host, running our agent. The hardware facts are what the agent last reported."""

    host = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="machines")
    simulated = models.BooleanField(default=False)
    boot_id = models.CharField(max_length=64, unique=True, help_text="Chosen by the agent once and kept.")
    credential_hash = models.CharField(max_length=64, unique=True)
    agent_version = models.CharField(max_length=40, blank=True)
    protocol = models.PositiveIntegerField(default=1)
    agent_failed_version = models.CharField(
        max_length=40, blank=True, help_text="The version of the agent that was last given up on this machine."
    )
    agent_failed_why = models.CharField(max_length=300, blank=True)
    abilities = ArrayField(
        models.CharField(max_length=40),
        default=list,
        blank=True,
        help_text="What its agent can do that older ones can't: agent.protocol.",
    )

    online = models.BooleanField(default=False, db_index=True)
    last_seen_at = models.DateTimeField(
        null=True, blank=True, help_text="Contact at the last change; Redis knows the latest."
    )
    session_id = models.CharField(max_length=64, blank=True)
    session_started_at = models.DateTimeField(null=True, blank=True)
    session_seq = models.BigIntegerField(default=-1)
    desired_generation = models.BigIntegerField(default=0)
    engine_error = models.TextField(blank=True)
    inventory_problem = models.TextField(blank=True, help_text="Why the latest hardware report was refused.")
    superseded_sessions = ArrayField(
        models.CharField(max_length=64),
        default=list,
        blank=True,
        help_text="The latest sessions that gave way to a newer one and may not come back.",
    )

    hostname = models.CharField(max_length=255)
    gpu_name = models.CharField(max_length=80)
    gpu_count = models.PositiveIntegerField()
    driver_version = models.CharField(max_length=40)
    cuda_version = models.CharField(max_length=20)
    cpu_name = models.CharField(max_length=120)
    cpu_arch = models.CharField(max_length=20)
    cpu_cores = models.PositiveIntegerField()
    cpu_ghz = models.FloatField()
    has_avx = models.BooleanField()
    ram_mb = models.PositiveIntegerField()
    disk_name = models.CharField(max_length=120)
    disk_total_gb = models.PositiveIntegerField()
    disk_bandwidth_mbps = models.FloatField()
    inet_up_mbps = models.FloatField()
    inet_down_mbps = models.FloatField()
    os_name = models.CharField(max_length=80)
    os_version = models.CharField(max_length=80)
    kernel_version = models.CharField(max_length=120)
    motherboard = models.CharField(max_length=120)
    engine_version = models.CharField(max_length=80)
    sandboxes = models.JSONField(
        default=dict, blank=True, help_text="Those that its engine has, each with why guests can't run in it."
    )
    user_namespaces = models.BooleanField(
        default=False, help_text="Root in its containers is an ordinary user to the machine."
    )
    toolkit_version = models.CharField(
        max_length=40, blank=True, help_text="Of NVIDIA's container toolkit; empty where its agent does not tell it."
    )
    port_first = models.PositiveIntegerField()
    port_last = models.PositiveIntegerField()
    port_last_leased = models.PositiveIntegerField(default=0)
    public_address = models.CharField(max_length=255)
    geolocation = models.CharField(max_length=120, blank=True)

    relay_key = models.CharField(
        max_length=120, null=True, blank=True, unique=True, help_text="Its agent logs in to the relay with this key."
    )
    dialled_from = models.CharField(max_length=45, blank=True, help_text="The address that its agent last came from.")
    ports_checked_at = models.DateTimeField(
        null=True, blank=True, help_text="When we last looked from outside whether its ports can be reached."
    )
    ports_sampled = models.PositiveSmallIntegerField(default=0, help_text="How many ports were looked at then.")
    ports_reached = models.PositiveSmallIntegerField(default=0, help_text="How many of them could be reached.")
    ports_asked_at = models.DateTimeField(null=True, blank=True, help_text="Since when a check is under way.")
    ports_asked = models.JSONField(default=dict, blank=True, help_text="The word that each port is to answer, by port.")

    measured_scores = models.JSONField(
        null=True,
        blank=True,
        help_text="Of one GPU, from the latest benchmark that counts (hosting.domain.benchmarks.kept_scores).",
    )
    reliability = models.FloatField(default=NO_HISTORY.shown, help_text="0..1, as shown.")
    reliability_lower = models.FloatField(
        default=NO_HISTORY.lower, help_text="Its lower 10% quantile: what the search ranks by."
    )
    inherited_tracks = models.JSONField(
        null=True,
        blank=True,
        help_text="Where its reliability begins: what an earlier machine with its GPUs came to, faded until then.",
    )
    verification = models.CharField(
        max_length=12,
        choices=[(v, v) for v in ("unverified", "verified", "deverified")],
        default="unverified",
    )
    is_datacenter = models.BooleanField(default=False)
    registered_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)
    suspended_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when staff keep it from the market: nothing new begins on it."
    )
    suspended_reason = models.CharField(max_length=300, blank=True, help_text="Told to the host.")
    suspended_with_account = models.BooleanField(
        default=False, help_text="The suspension is its host's, and ends with that."
    )

    class Meta:
        permissions = [
            ("suspend_machine", "Can suspend machines and let them back"),
            ("view_machine_timeline", "Can view the timeline of a machine"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(verification__in=["unverified", "verified", "deverified"]),
                name="machine_verification_known",
            ),
            models.CheckConstraint(
                condition=models.Q(port_first__lte=models.F("port_last")), name="machine_port_range"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.hostname} ({self.gpu_count}x {self.gpu_name})"

    @property
    def knows_jupyter(self) -> bool:
        """Whether its agent can run Jupyter in containers."""
        return ABILITY_JUPYTER in self.abilities

    @property
    def keeps_volumes(self) -> bool:
        """Whether its agent can keep volumes."""
        return ABILITY_VOLUMES in self.abilities

    @property
    def is_direct(self) -> bool:
        """Whether clients reach its ports without the relay, as far as we could see from outside."""
        return self.direct_port_count > 0

    @property
    def direct_port_count(self) -> int:
        """How many ports of its range can be reached from outside, judged by the sample; 0 before any was taken."""
        return reachable_ports(
            self.port_last - self.port_first + 1, sampled=self.ports_sampled, reached=self.ports_reached
        )

    @property
    def measured_dlperf(self) -> float | None:
        """DLPerf of one GPU, from the latest benchmark; None without one that counts."""
        scores = kept_scores(self.measured_scores)
        return scores.balanced.value if scores else None

    @property
    def measured_dlperf_is_estimate(self) -> bool:
        """Whether a part of that was predicted, or nothing confirms it yet."""
        scores = kept_scores(self.measured_scores)
        return scores is not None and scores.balanced.is_estimate


class MachineEvent(models.Model):
    """What happened to a machine, who did it and why. Never edited."""

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    message = models.TextField(blank=True)
    details = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = [models.Index(fields=["machine", "-at"])]

    def __str__(self) -> str:
        return f"machine {self.machine_id} {self.kind}"
