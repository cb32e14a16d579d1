"""What follows from what the engine says of itself and of a container."""

import math
from typing import Any

from agent.engine.labels import GPUS_LABEL
from agent.engine.timestamps import instant
from agent.engine.types import (
    NEVER,
    ContainerFacts,
    Status,
)

_SHUTDOWN_SECONDS = 120
_RECOVERY_SECONDS = 30
_SHUTDOWN_CODES = (137, 143)
_STATUSES: dict[str, Status] = {
    "created": "created",
    "running": "running",
    "paused": "running",
    "restarting": "running",
    "removing": "removing",
    "exited": "exited",
    "dead": "exited",
}


def may_support_quota(facts: dict[str, Any]) -> bool:
    """Whether it is worth asking for a disk quota: known only by trying, on the drivers that can have one."""
    driver = facts.get("Driver")
    backing = dict(facts.get("DriverStatus") or []).get("Backing Filesystem")
    return driver in ("btrfs", "zfs") or (driver == "overlay2" and backing == "xfs")


def has_user_namespaces(facts: dict[str, Any]) -> bool:
    """Whether the engine maps root in its containers to an ordinary user of the host."""
    options = (str(option).split(",") for option in facts.get("SecurityOptions") or [])
    return any("name=userns" in parts for parts in options)


def has_seccomp(facts: dict[str, Any]) -> bool:
    """Whether the engine runs containers with its own seccomp profile, rather than none or somebody's."""
    options = (set(str(option).split(",")) for option in facts.get("SecurityOptions") or [])
    return any("name=seccomp" in parts and parts & {"profile=default", "profile=builtin"} for parts in options)


def facts_of(inspected: dict[str, Any], engine_started_at: float | None) -> ContainerFacts:
    """What the agent wants to know of a container. ``engine_started_at`` is in seconds since 1970, if known."""
    state = inspected["State"]
    networks = inspected.get("NetworkSettings", {}).get("Networks") or {}
    return ContainerFacts(
        container_id=inspected["Id"],
        status=_STATUSES.get(state["Status"], "exited"),
        started_at=state.get("StartedAt") or NEVER,
        finished_at=state.get("FinishedAt") or NEVER,
        exit_code=int(state.get("ExitCode") or 0),
        out_of_memory=bool(state.get("OOMKilled")),
        pid=int(state.get("Pid") or 0),
        address=next((network["IPAddress"] for network in networks.values() if network["IPAddress"]), ""),
        ended_with_engine=ended_with_engine(state, engine_started_at),
        gpus=_gpus(inspected),
    )


def _gpus(inspected: dict[str, Any]) -> frozenset[str] | None:
    """As noted on the container, else those it was given, which are none on a simulated machine."""
    noted = (inspected["Config"].get("Labels") or {}).get(GPUS_LABEL)
    if noted is not None:
        return frozenset(filter(None, noted.split(",")))
    requests = (inspected.get("HostConfig") or {}).get("DeviceRequests") or []
    return frozenset(gpu for request in requests for gpu in request.get("DeviceIDs") or []) or None


def ended_with_engine(state: dict[str, Any], engine_started_at: float | None) -> bool:
    """Whether the end came as the engine went down (its shutdown stops containers) or was noticed as it came up.

    A host can take long to boot, so an end by the signals of a shutdown counts however long ago it was.
    """
    started, finished = state.get("StartedAt") or NEVER, state.get("FinishedAt") or NEVER
    if engine_started_at is None or NEVER in (started, finished) or instant(started) > engine_started_at:
        return False
    by_signal = state.get("ExitCode") in _SHUTDOWN_CODES and not state.get("OOMKilled")
    earliest = -math.inf if by_signal else -_SHUTDOWN_SECONDS
    return earliest <= instant(finished) - engine_started_at <= _RECOVERY_SECONDS
