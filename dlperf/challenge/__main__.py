"""``python -m dlperf.challenge``: see ``dlperf.challenge.command`` for how it is called and what it says."""

import argparse
import dataclasses
import json
import os
import sys

from dlperf import EXIT_UNSUPPORTED
from dlperf.challenge.command import EXIT_FAILED, SOCKET
from dlperf.challenge.plan import Plan
from dlperf.cuda import UnsupportedGpuError

_SIZES = [field.name for field in dataclasses.fields(Plan)]


def main(arguments: list[str]) -> int:
    """The exit status; where it isn't 0, a sentence on stderr says why."""
    wanted = _parser().parse_args(arguments)
    try:
        problem = _run(wanted)
    except ImportError as error:
        problem = f"The challenge needs torch 2.3 or later: {error}"
    except UnsupportedGpuError as error:
        return _give_up(str(error), EXIT_UNSUPPORTED)
    except (ValueError, RuntimeError, OSError) as error:
        problem = str(error) or type(error).__name__
    return _give_up(problem) if problem else 0


def _give_up(problem: str, status: int = EXIT_FAILED) -> int:
    sys.stderr.write(f"{problem.strip().splitlines()[0]}\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dlperf.challenge", description="Answer a challenge.")
    for name in _SIZES:
        parser.add_argument(f"--{name.replace('_', '-')}", required=True, type=int)
    parser.add_argument("--gpus", required=True, type=int, help="how many the machine has")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--socket", help="where to listen")
    parser.add_argument("--nonce", type=bytes.fromhex, help="don't listen: print what comes of this and end")
    return parser


def _run(wanted: argparse.Namespace) -> str:
    """Why it is over, where something went wrong."""
    from dlperf.challenge.prove import Session, devices  # noqa: PLC0415  # torch loads when it is used
    from dlperf.challenge.serve import committed, serve  # noqa: PLC0415  # for the same reason

    plan = Plan(**{name: getattr(wanted, name) for name in _SIZES})
    kept = os.dup(1)
    os.dup2(2, 1)  # whatever libraries print is no answer
    session = Session(plan, devices(wanted.device, wanted.gpus))
    if wanted.nonce is None:
        return serve(session, wanted.socket or SOCKET)
    line = json.dumps(committed(session, wanted.nonce, b""))
    with os.fdopen(kept, "w") as out:
        out.write(f"{line}\n")
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
