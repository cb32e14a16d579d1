"""The demo's database work, in one process because loading Django takes a second.

    python -m scripts.demo.site DIRECTORY READY-FILE IMAGE

Migrates and makes the accounts, then writes DIRECTORY/prepared; waits for DIRECTORY/go, which says that IMAGE lies in
the engine and agents are starting; then lists and rents machines, and writes READY-FILE.
"""

import sys
import time
from pathlib import Path

import django
from django.core.management import call_command

POLL_SECONDS = 0.05


def main(directory: Path, ready: str, image: str) -> int:
    """Errors end the process with a traceback."""
    django.setup()
    call_command("migrate", interactive=False, verbosity=1)
    call_command("demo_seed", "prepare", f"--dir={directory}", f"--image={image}")
    (directory / "prepared").touch()
    while not (directory / "go").exists():
        time.sleep(POLL_SECONDS)
    call_command("demo_seed", "finish", f"--dir={directory}", f"--out={ready}", f"--image={image}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
