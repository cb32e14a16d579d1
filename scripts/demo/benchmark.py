"""The first benchmark of the demo's machine: makes the program's image, which takes a while, and asks for a run.

    python -m scripts.demo.benchmark

Started when the demo is ready, with the lowest priority: nobody waits for it.
"""

import os
import sys

import django
from django.core.management import call_command

from scripts import dlperf_image
from scripts.demo.layout import ROOT
from scripts.services.launching import ServiceError

LOWEST_PRIORITY = 19


def main() -> int:
    """Make the image unless DLPERF_IMAGE names another one, and ask for the run unless there was one."""
    os.nice(LOWEST_PRIORITY)
    if os.environ["DLPERF_IMAGE"] == dlperf_image.name():
        try:
            dlperf_image.ensure_image(ROOT / "var" / "cache")
        except ServiceError as error:
            print(error, file=sys.stderr)
            return 1
    django.setup()
    call_command("demo_seed", "benchmark")
    return 0


if __name__ == "__main__":
    sys.exit(main())
