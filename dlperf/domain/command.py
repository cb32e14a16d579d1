"""How the workload program is called; it is part of what the agent runs in a container.

``python -m dlperf.workload`` prints progress to stderr and, at its end, exactly one line of JSON to stdout: the result
that ``dlperf.domain.result`` reads. Exit status 0 means that there is a result, 2 that there is none, 3 that torch
can't use the GPUs at all; the last line on stderr then says why in a sentence. Only torch, ``dlperf/__init__.py``,
``dlperf/cuda.py`` and ``dlperf/workload/`` have to be there.

An endpoint for the network's speed answers ``GET URL?bytes=N`` with N bytes and takes ``POST URL`` with any body; N and
the length of a body are at most 32 million. Four requests come at a time, 16 of each kind in all.
"""

from typing import Literal

from dlperf.domain.result import Mode

FULL_SECONDS = 300
SMALL_SECONDS = 60
OVERTIME_SECONDS = 60
"""Past its limit a run may still be in the middle of one measurement. After this much more it hangs."""
EXIT_FAILED = 2


def workload_command(
    *,
    mode: Mode = "full",
    device: Literal["auto", "cuda", "cpu"] = "auto",
    seconds: int = FULL_SECONDS,
    endpoint: str = "",
    python: str = "python3",
) -> list[str]:
    """The words of the command line. ``auto`` takes the GPUs that are visible, else the CPU."""
    words = [python, "-m", "dlperf.workload", "--mode", mode, "--device", device, "--seconds", str(seconds)]
    return [*words, "--endpoint", endpoint] if endpoint else words
