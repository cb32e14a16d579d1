"""Sandboxes that guests can run in on a machine, as its agent reports and its host chooses."""

from collections.abc import Mapping

from agent.sandbox_protocol import SANDBOXES
from hosting.domain.texts import clean

NONE = "none"
TITLES: dict[str, str] = {"gvisor": "gVisor", "kata": "Kata Containers"}
CHOICES = [(NONE, "None"), *TITLES.items()]
_MOST_CHARS = 300


def reported(sandboxes: Mapping[str, str]) -> dict[str, str]:
    """What an agent tells, as it is kept: the known ones, each with its obstacle, cut to a sensible length."""
    return {name: clean(sandboxes[name], _MOST_CHARS) for name in SANDBOXES if name in sandboxes}


def sandbox_problem(sandbox: str, reported_by_machine: Mapping[str, str]) -> str:
    """Why guests can't run in this sandbox on a machine that reports these; empty where they can."""
    if sandbox == NONE:
        return ""
    if sandbox not in TITLES:
        return f"There is no such sandbox. It is one of {', '.join(dict(CHOICES))}."
    if sandbox not in reported_by_machine:
        return (
            f"The machine's container engine has no {TITLES[sandbox]}. Install it there first, and restart the engine."
        )
    obstacle = reported_by_machine[sandbox]
    return f"{TITLES[sandbox]} can't be used on this machine: {obstacle}" if obstacle else ""
