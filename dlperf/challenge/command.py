"""How the challenge program is called, and spoken with; it is part of what the agent runs in a container.

``python -m dlperf.challenge`` takes its devices and their memory, then listens (see ``dlperf.challenge.serve``). With
``--nonce`` it computes that at once and prints what it comes to as one line. Exit status 0 means that nobody asks any
more, or that the line is printed; 3 that this torch can't use these GPUs, 4 that something else failed; the last line
on stderr then says why. Any other status is the image's fault: it has another version of the program. It needs torch
alone.
"""

import json
from dataclasses import asdict
from typing import Literal

from dlperf.challenge.plan import Place, Plan

SOCKET = "/run/spotyard-challenge.sock"
"""In the container, where the program listens."""
EXIT_FAILED = 4
"""Neither what Python ends with where the program is missing or broken, nor what it says of words it does not know."""


def challenge_command(
    plan: Plan, *, gpus: int, device: Literal["cuda", "cpu"], nonce: bytes | None = None, python: str = "python3"
) -> list[str]:
    """The words of the command line."""
    options = {**asdict(plan), "gpus": gpus, "device": device} | ({} if nonce is None else {"nonce": nonce.hex()})
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return [python, "-m", "dlperf.challenge", *words]


def ready_question() -> str:
    """Whether the devices have their memory."""
    return json.dumps({"do": "ready"})


def commit_question(nonce: bytes, tag: bytes) -> str:
    """Compute everything, and say what it comes to."""
    return json.dumps({"do": "commit", "nonce": nonce.hex(), "tag": tag.hex()})


def reveal_question(place: Place) -> str:
    """Show a place of what was computed."""
    return json.dumps({"do": "reveal", **asdict(place)})


def ask_command(question: str, python: str = "python3") -> list[str]:
    """What is run beside the program to ask it something."""
    return [python, "-m", "dlperf.challenge.ask", question]
