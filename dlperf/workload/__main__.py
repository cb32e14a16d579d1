"""The command line: ``python -m dlperf.workload --mode full --device auto --seconds 300 --endpoint URL``."""

import argparse
import json
import logging
import os
import sys

from dlperf import EXIT_UNSUPPORTED
from dlperf.cuda import UnsupportedGpuError

EXIT_FAILED = 2


def main(arguments: list[str]) -> int:
    """Print the result as one line and return 0. Where there is none, a sentence on stderr says why, and it is
    ``EXIT_UNSUPPORTED`` if torch can't use the GPUs at all, else ``EXIT_FAILED``."""
    wanted = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.INFO)
    result_descriptor = _keep_stdout()
    try:
        line = _result(wanted)
    except UnsupportedGpuError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_UNSUPPORTED
    except (ValueError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    except Exception as error:  # whatever a host's torch and driver come up with
        logging.getLogger("dlperf").exception("The benchmark failed.")
        sys.stderr.write(f"{str(error).strip() or type(error).__name__}\n")
        return EXIT_FAILED
    with os.fdopen(result_descriptor, "w") as out:
        out.write(line + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dlperf.workload", description="Measure this machine's GPUs.")
    parser.add_argument("--mode", choices=["full", "small"], default="full", help="small only shows that it works")
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long the run may take")
    parser.add_argument("--endpoint", default="", help="measure the line to this address")
    return parser


def _keep_stdout() -> int:
    """A descriptor of stdout for the result alone; whatever libraries print goes to stderr from now on."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def _result(wanted: argparse.Namespace) -> str:
    if not wanted.seconds > 0:
        raise ValueError("--seconds must be more than 0.")
    try:
        from dlperf.workload import network, run  # noqa: PLC0415  # so that a missing torch is told in a sentence
    except ImportError as error:
        raise ImportError(f"The benchmark needs torch 2.3 or later: {error}") from error
    endpoint = network.Endpoint(wanted.endpoint) if wanted.endpoint else None
    plan = run.Plan(mode=wanted.mode, device=wanted.device, seconds=wanted.seconds, endpoint=endpoint)
    return json.dumps(run.run(plan), allow_nan=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
