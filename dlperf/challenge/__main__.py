"""``python -m dlperf.challenge``: see ``dlperf.challenge.command`` for how it is called and what it prints."""

import argparse
import json
import os
import sys

from dlperf.challenge.plan import Plan

EXIT_FAILED = 2


def main(arguments: list[str]) -> int:
    """Print the answer as one line; 0, or ``EXIT_FAILED`` after a sentence on stderr that says why there is none."""
    wanted = _parser().parse_args(arguments)
    kept = os.dup(1)
    os.dup2(2, 1)  # whatever libraries print is no answer
    try:
        line = _answer(wanted)
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        sys.stderr.write(f"{str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}\n")
        return EXIT_FAILED
    with os.fdopen(kept, "w") as out:
        out.write(line + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dlperf.challenge", description="Answer a challenge.")
    parser.add_argument("--nonce", required=True, type=bytes.fromhex, help="hexadecimal digits")
    for name in ("width", "depth", "steps", "passes", "buffer-rows"):
        parser.add_argument(f"--{name}", required=True, type=int)
    parser.add_argument("--gpus", required=True, type=int, help="how many the machine has")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    return parser


def _answer(wanted: argparse.Namespace) -> str:
    plan = Plan(
        width=wanted.width,
        depth=wanted.depth,
        steps=wanted.steps,
        passes=wanted.passes,
        buffer_rows=wanted.buffer_rows,
    )
    try:
        from dlperf.challenge.prove import devices, prove  # noqa: PLC0415  # a missing torch is told
    except ImportError as error:
        raise ImportError(f"The challenge needs torch 2.3 or later: {error}") from error
    return json.dumps(prove(plan, wanted.nonce, devices(wanted.device, wanted.gpus)), allow_nan=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
