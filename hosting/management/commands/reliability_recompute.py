"""Computes reliability anew from everything that is recorded, and compares it with what is stored."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from hosting.services.reliability import Difference, reliability_differences, reliability_refresh


class Command(BaseCommand):
    help = "Compute the reliability of machines anew from all recorded events and compare it with what is stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--machine", type=int, action="append", help="only this machine; may be given repeatedly")
        parser.add_argument("--write", action="store_true", help="store what comes out, as of a minute ago")

    def handle(self, *_: Any, **options: Any) -> None:
        compared, differences = reliability_differences(machine_ids=options["machine"])
        for difference in differences:
            self.stdout.write(_said(difference))
        self.stdout.write(f"{compared} machines compared, {len(differences)} differ.")
        if options["write"]:
            ids = options["machine"] or [difference.machine_id for difference in differences]
            changed = reliability_refresh(machine_ids=ids, now=timezone.now(), from_scratch=True)
            self.stdout.write(f"{changed} machines have new figures.")
        elif differences:
            raise CommandError("What is stored is not what the events come to.")


def _said(difference: Difference) -> str:
    stored, computed = difference.stored, difference.computed
    return (
        f"Machine {difference.machine_id}, as of {difference.as_of:%Y-%m-%d %H:%M:%S} UTC: stored {stored[0]:.4f}"
        f" (lower {stored[1]:.4f}), computed {computed[0]:.4f} (lower {computed[1]:.4f})"
    )
