"""Everything about the code that needs no server: `make check`.

All checks run, two at a time, even when one fails: one run shows everything there is to mend.
"""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["marketplace", "hosting", "billing", "dlperf", "agent", "scripts", "tests"]
# A production-like environment: `check --deploy` judges these settings. No check connects to either server.
ENVIRONMENT = {
    "SECRET_KEY": "only-for-make-check-never-used-to-sign-anything-0123456789",
    "FIELD_ENCRYPTION_KEYS": "b25seS1mb3ItbWFrZS1jaGVjay1uZXZlci11c2VkLTA=",
    "SITE_URL": "https://spotyard.example",
    "ALLOWED_HOSTS": "spotyard.example",
    "DATABASE_URL": "postgresql://unused:unused@127.0.0.1:1/unused",
}


@dataclass(frozen=True)
class Result:
    """How one check ended; ``seconds`` is its wall time."""

    name: str
    code: int
    seconds: float
    output: str


def checks() -> dict[str, list[str]]:
    """Name and command of every check, the slowest first."""
    python = sys.executable
    scripts = Path(python).parent
    manage = [python, "-W", "ignore", "manage.py"]
    return {
        "types (mypy --strict)": [python, "-m", "mypy", *PACKAGES, "manage.py"],
        "format (ruff)": [python, "-m", "ruff", "format", "--check", "."],
        "lint (ruff)": [python, "-m", "ruff", "check", "."],
        "import contracts": [str(scripts / "lint-imports")],
        "Django's checks": [*manage, "check", "--deploy", "--fail-level", "WARNING"],
        "migrations": [*manage, "makemigrations", "--check", "--dry-run"],
        "templates (djlint)": [str(scripts / "djlint"), "--lint", "--quiet", "templates"],
        "shell scripts": shell_check(),
    }


def shell_check() -> list[str]:
    """shellcheck over our shell scripts; their syntax only where shellcheck is not installed."""
    files = [
        "scripts/bootstrap.sh",
        "scripts/demo.sh",
        "scripts/devservices",
        ".ci/run",
        "hosting/installer/install.sh",
        "agent/guest/start.sh",
        "agent/guest/boot.sh",
        "agent/guest/jupyter.sh",
        "agent/guest/session.sh",
        "agent/guest/shrc",
    ]
    if shutil.which("shellcheck"):
        return ["shellcheck", *files]
    return ["bash", "-n", *files]


def run(name: str, command: list[str]) -> Result:
    """Run one check to its end."""
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Result(name, done.returncode, time.monotonic() - started, done.stdout)


def main() -> int:
    """The command line: exit status 1 when any check fails."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(lambda item: run(*item), checks().items()))
    for result in results:
        if result.code != 0:
            print(f"--- {result.name}\n{result.output.rstrip()}\n")
    for result in results:
        print(f"{'ok  ' if result.code == 0 else 'FAIL'} {result.name} ({result.seconds:.1f} s)")
    return 1 if any(result.code != 0 for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
