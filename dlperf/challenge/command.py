"""How the challenge program is called; it is part of what the agent runs in a container.

``python -m dlperf.challenge`` prints exactly one line to stdout: the answer that ``dlperf.challenge.transcript``
reads. Exit status 0 means that there is one, 2 that there is none; the last line on stderr then says why. It needs
torch alone.
"""

from typing import Literal

from dlperf.challenge.plan import Plan


def challenge_command(
    plan: Plan, nonce: bytes, *, gpus: int, device: Literal["cuda", "cpu"], python: str = "python3"
) -> list[str]:
    """The words of the command line."""
    sizes = {
        "nonce": nonce.hex(),
        "width": plan.width,
        "depth": plan.depth,
        "steps": plan.steps,
        "passes": plan.passes,
        "buffer-rows": plan.buffer_rows,
        "gpus": gpus,
        "device": device,
    }
    words = [python, "-m", "dlperf.challenge"]
    return words + [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
