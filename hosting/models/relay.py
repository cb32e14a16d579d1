"""The relay and the public ports that it gives to instances."""

from django.db import models

from hosting.models.task import Task


class Relay(models.Model):
    """What the relay says of itself. There is one row, written by whichever relay runs."""

    ONLY = 1

    host_key = models.CharField(max_length=120, help_text="Public half of its own key, which agents trust.")
    has_tls = models.BooleanField(default=False, help_text="Whether https ports carry TLS.")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    machines = models.PositiveIntegerField(default=0, help_text="Tunnels that are up.")
    ports = models.PositiveIntegerField(default=0, help_text="Ports that clients can connect to.")
    connections = models.PositiveIntegerField(default=0, help_text="Of clients, at this moment.")
    connections_total = models.PositiveBigIntegerField(default=0, help_text="Of clients, since it started.")
    connections_refused = models.PositiveBigIntegerField(default=0, help_text="Over a limit, since it started.")
    bytes_in = models.PositiveBigIntegerField(default=0, help_text="From clients, since it started.")
    bytes_out = models.PositiveBigIntegerField(default=0, help_text="To clients, since it started.")

    def __str__(self) -> str:
        return f"relay, seen {self.seen_at:%Y-%m-%d %H:%M:%S}"


class RelayLease(models.Model):
    """A port of the relay given to a task for as long as the task exists, so that its address never changes."""

    class Kind(models.TextChoices):
        TCP = "tcp"
        HTTPS = "https"

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="relay_leases")
    relay_port = models.PositiveIntegerField()
    container_port = models.PositiveIntegerField(help_text="Reached by way of the host port that is leased for it.")
    kind = models.CharField(
        max_length=5, choices=Kind.choices, help_text="tcp passes on what comes; https ends TLS at the relay."
    )
    created_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["relay_port"], condition=models.Q(released_at__isnull=True), name="one_lease_per_relay_port"
            ),
            models.CheckConstraint(condition=models.Q(kind__in=["tcp", "https"]), name="relay_lease_kind_known"),
        ]

    def __str__(self) -> str:
        return f"relay {self.relay_port} -> {self.container_port} ({self.kind})"
