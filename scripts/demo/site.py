"""Brings the database of the demo up to date and makes its accounts, in one process: loading Django takes a second.

python -m scripts.demo.site DIRECTORY
"""

import sys

import django
from django.core.management import call_command


def main(directory: str) -> int:
    """Migrate, then prepare accounts, credit and install tokens; errors end the process with a traceback."""
    django.setup()
    call_command("migrate", interactive=False, verbosity=1)
    call_command("demo_seed", "prepare", f"--dir={directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
