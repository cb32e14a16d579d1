"""What is known of the resources that a container uses."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ContainerUsage:
    """``cpu_seconds`` grows while it runs. None is what the kernel does not count here."""

    cpu_seconds: float | None
    ram_used_mb: int | None
    """Without what the kernel would give back at once."""
    ram_limit_mb: int | None
