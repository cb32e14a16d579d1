"""After the service was started: wait until the marketplace has the machine, and say how that went."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from agent.installer import launch, tokens
from agent.installer.layout import Layout
from agent.installer.system import InstallError, run
from agent.installer.words import say

_LOOK_SECONDS = 0.5
JOIN_SECONDS = 180.0


@dataclass(frozen=True)
class Joined:
    machine_id: int
    version: str


def wait_until_joined(layout: Layout, version: str, *, seconds: float = JOIN_SECONDS) -> Joined:
    """Until this version of the agent has spoken with the marketplace. Raises ``InstallError``.

    The install token is deleted when it was used: the machine has a credential of its own then. A machine that was
    refused for what it is may be put right, and come again with it.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = read_status(layout)
        if status.get("version") == version and status.get("machine_id"):
            tokens.forget(layout)
        joined = judge(status, version)
        if joined is not None:
            return joined
        _require_trial(layout, version)
        time.sleep(_LOOK_SECONDS)
    why = read_status(layout).get("problem") or "it said nothing"
    log = layout.log / "agent.log"
    raise InstallError(f"The agent did not reach the marketplace: {why}. See {log}")


def _require_trial(layout: Layout, version: str) -> None:
    """Raises ``InstallError`` where the version was given up meanwhile."""
    state = launch.read_state(layout.launch_state)
    if state.failed == version:
        raise InstallError(
            f"Version {version} of the agent does not work here: {state.why}. Version {state.good} goes on."
        )


def judge(status: dict[str, Any], version: str) -> Joined | None:
    """None while it is not known. Raises ``InstallError`` where the marketplace said no."""
    if status.get("version") != version:
        return None
    if status.get("refused"):
        raise InstallError("The marketplace refused this machine: {}".format(status["refused"]))
    if status.get("connected") and status.get("machine_id"):
        return Joined(int(status["machine_id"]), version)
    return None


def read_status(layout: Layout) -> dict[str, Any]:
    """What the agent told last of itself; empty where that is nothing, or of a process that is gone for long."""
    try:
        told = json.loads((layout.var / "status.json").read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def forget_status(layout: Layout) -> None:
    """So that what is read next was told after this."""
    path = layout.var / "status.json"
    if path.exists():
        path.unlink()


def self_test(layout: Layout) -> None:
    """Show what the agent's own test finds. What it finds wanting keeps nobody from the market by itself."""
    say("")
    told = run([str(layout.command), "self-test"], 120)
    say(told.out.rstrip() or told.err.rstrip())
