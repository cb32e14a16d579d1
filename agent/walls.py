"""What stands between guests and a host, and whether it does: without it the machine is not to be rented."""

from collections.abc import Callable

from agent.engine.types import EngineInfo

SWITCHED_OFF = "The agent was started with --no-firewall, so guests can reach this host's ports and local network."
_NO_SECCOMP = (
    "The container engine runs guests without its seccomp profile, which keeps them from much of the kernel. Remove "
    "seccomp-profile from /etc/docker/daemon.json, and --seccomp-profile from dockerd's options, and restart it."
)


def gap(info: EngineInfo | None, unguarded: Callable[[], str], *, simulated: bool) -> str | None:
    """What is missing, in words for the host; None where nothing is. Machines that only pretend are not judged."""
    if simulated:
        return None
    return unguarded() or (_NO_SECCOMP if info is not None and not info.seccomp else None)
