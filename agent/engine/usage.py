"""How much CPU and memory a container uses, as the engine counts it."""

from typing import Any, cast

from docker.api.client import APIClient

from agent.engine.usage_types import ContainerUsage

_MB = 1 << 20
_NANOSECONDS = 1e9
_NO_LIMIT_MB = 1 << 40
_CACHES = ("inactive_file", "total_inactive_file")
"""Pages of files that nobody used lately, as the kernel's new and old accounting call them."""


def read(client: APIClient, container_id: str) -> ContainerUsage:
    """One look, without the engine's usual wait for a second one."""
    return usage_of(cast("dict[str, Any]", client.stats(container_id, stream=False, one_shot=True)))


def usage_of(stats: dict[str, Any]) -> ContainerUsage:
    """From the engine's answer."""
    cpu = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    memory = stats.get("memory_stats") or {}
    used, limit = memory.get("usage"), memory.get("limit")
    details = memory.get("stats") or {}
    cached = next((details[name] for name in _CACHES if name in details), 0)
    limit_mb = limit // _MB if limit else None
    cpu_nanoseconds = cpu.get("total_usage")
    if not cpu_nanoseconds and used is None:
        # What an engine says that can't read the kernel's accounting.
        cpu_nanoseconds = None
    return ContainerUsage(
        cpu_seconds=cpu_nanoseconds / _NANOSECONDS if cpu_nanoseconds is not None else None,
        ram_used_mb=max(0, used - cached) // _MB if used is not None else None,
        ram_limit_mb=limit_mb if limit_mb is not None and limit_mb < _NO_LIMIT_MB else None,
    )
