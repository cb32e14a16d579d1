"""Proves the ledger now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.services import ledger_check_record


class Command(BaseCommand):
    help = "Prove the ledger: entries balance, checkpoints and meters match. Fails when something does not hold."

    def handle(self, *_: Any, **_options: Any) -> None:
        run = ledger_check_record(now=timezone.now())
        for item in run.discrepancies:
            self.stderr.write(f"{item['code']}: {item['message']}")
        if run.discrepancies_count:
            raise CommandError(f"{run.discrepancies_count} discrepancies.")
        self.stdout.write("The ledger holds.")
