"""Who is to blame when a client's container does not run."""

from dataclasses import dataclass
from enum import StrEnum

from agent.protocol import FailureReason, Phase


class Fault(StrEnum):
    """Whose failure it is. Only the host's counts against the machine."""

    HOST = "host"
    CLIENT = "client"
    UNCLEAR = "unclear"


FAULTS: dict[FailureReason, Fault] = {
    "image_missing": Fault.CLIENT,
    "image_pull_failed": Fault.UNCLEAR,
    "engine_down": Fault.HOST,
    "engine_error": Fault.UNCLEAR,
    "port_taken": Fault.HOST,
    "disk_full": Fault.HOST,
    "disk_limit": Fault.CLIENT,
    "out_of_memory": Fault.HOST,
    "gpu_unavailable": Fault.HOST,
    "no_shell": Fault.CLIENT,
    "no_ssh_server": Fault.CLIENT,
    "command_not_found": Fault.CLIENT,
    "container_lost": Fault.HOST,
    "volume_missing": Fault.HOST,
    "exited": Fault.CLIENT,
}
"""Of a run that never began. A registry may be down and an engine may refuse what a client asks for: where it is not
certain that the host failed, nobody is blamed. ``out_of_memory`` before the start is the host's memory; the client's
own limit ends a run that has begun."""

WORDS: dict[FailureReason, str] = {
    "image_missing": "the image does not exist",
    "image_pull_failed": "the image could not be fetched",
    "engine_down": "the container engine was down",
    "engine_error": "the container engine refused",
    "port_taken": "a port was taken by another program",
    "disk_full": "the disk was full",
    "disk_limit": "the client's disk was full",
    "out_of_memory": "too little free memory",
    "gpu_unavailable": "the GPUs could not be attached",
    "no_shell": "the image has no shell",
    "no_ssh_server": "the image has no SSH server",
    "command_not_found": "the command does not exist",
    "container_lost": "the container was lost",
    "volume_missing": "a volume was lost",
    "exited": "the container ended",
}

OUTCOMES: frozenset[Phase] = frozenset({"running", "exited", "failed"})
"""Phases that say how a launch went."""

_NEVER_BEGAN: frozenset[FailureReason] = frozenset({"command_not_found", "no_shell", "no_ssh_server", "engine_down"})
"""Reasons why a container that was started and has ended still counts as not launched."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a run began; ``reason`` is None where it did."""

    reason: FailureReason | None = None


def launch_outcome(phase: str, reason: str, *, is_known: bool) -> Launch | None:
    """What an observed phase says of the launch of its run; None when nothing new.

    ``is_known`` says whether an earlier phase of the same run has told how it began. A container that is lost counts
    as failed even then: nothing else would tell of it.
    """
    known_reason = next((known for known in FAULTS if known == reason), None)
    if known_reason == "container_lost":
        return Launch("container_lost")
    if is_known or phase not in OUTCOMES:
        return None
    if phase == "failed":
        return Launch(known_reason or "engine_error")
    return Launch(known_reason if phase == "exited" and known_reason in _NEVER_BEGAN else None)


def fault_of(reason: str) -> Fault:
    """Whose failure a reason is; what no table knows is unclear."""
    return next((fault for known, fault in FAULTS.items() if known == reason), Fault.UNCLEAR)


def words_of(reason: str) -> str:
    """The reason as the end of a sentence, for the host."""
    return next((words for known, words in WORDS.items() if known == reason), reason.replace("_", " "))
