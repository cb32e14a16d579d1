"""`make test`: have an engine and the demo's image, run pytest, leave nothing running that was not.

Arguments go to pytest. PostgreSQL and Valkey are started by tests/plumbing/environment.py, for the run alone.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from scripts import engine
from scripts.image import ensure_image
from scripts.services.launching import ServiceError, launch_prefix

ROOT = Path(__file__).resolve().parent.parent
TIME_LIMIT_SECONDS = 4500
"""Under CI: past it, the run counts as hung. pytest then prints what it knows and fails."""


def main(arguments: list[str]) -> int:
    """pytest's exit status, or 1 when there is no engine."""
    holder = f"tests-{os.getpid()}"
    try:
        print(f"Docker engine: {engine.ensure(holder, holder_pid=os.getpid())}", flush=True)
        ensure_image(ROOT / "var" / "cache")
        return run_pytest(arguments)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        engine.release(holder)


def run_pytest(arguments: list[str]) -> int:
    """Run pytest on all cores, unless the arguments say otherwise."""
    parallel = [] if any(word.startswith(("-n", "--pdb")) for word in arguments) else ["-n", "auto"]
    command = [sys.executable, "-m", "pytest", *parallel, *arguments]
    process = subprocess.Popen([*launch_prefix(die_with_parent="TERM"), *command], cwd=ROOT)
    try:
        return process.wait(TIME_LIMIT_SECONDS if os.environ.get("CI") == "true" else None)
    except subprocess.TimeoutExpired:
        print(f"The tests did not end within {TIME_LIMIT_SECONDS} s", file=sys.stderr)
        process.send_signal(signal.SIGINT)
        process.wait(60)
        return 1
    except KeyboardInterrupt:
        # The terminal sent it to pytest too, which is tidying up.
        return process.wait(60)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
