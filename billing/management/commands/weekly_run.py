"""The weekly run for any week, or what it would do."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.domain.errors import BillingError
from billing.domain.money import exact_dollars
from billing.domain.weeks import week_end_by
from billing.models import WeeklyRun
from billing.selectors.weeks import UsedLine, week_preview
from billing.services import invoices_tell, weekly_runs


class Command(BaseCommand):
    help = "Invoice hosts for a week, Friday 00:00 UTC to Friday, and for all weeks before it that were not invoiced."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--date", help="such as 2026-11-27: the last week that is over on this day at 00:00 UTC; default: now"
        )
        parser.add_argument("--dry-run", action="store_true", help="show that week's invoices and write nothing")

    def handle(self, *_: Any, **options: Any) -> None:
        now = timezone.now()
        period_end = week_end_by(_day(options["date"]) if options["date"] else now)
        if options["dry_run"]:
            self._preview(period_end, now)
        else:
            self._run(period_end, now)

    def _run(self, period_end: datetime, now: datetime) -> None:
        try:
            runs = weekly_runs(now=now, until=period_end)
        except BillingError as error:
            raise CommandError(error.message) from error
        for run in runs:
            self._say(run)
        if not runs:
            self.stdout.write(
                f"The week to {period_end:%Y-%m-%d} needs nothing: it was invoiced, or had no meters yet."
            )
        self.stdout.write(f"{invoices_tell(now=now)} hosts were told.")

    def _say(self, run: WeeklyRun) -> None:
        gross, net = exact_dollars(run.gross_micros), exact_dollars(run.net_micros)
        self.stdout.write(
            f"Week to {run.period_end:%Y-%m-%d}: {run.invoices_count} invoices,"
            f" gross {gross}, fee {exact_dollars(run.gross_micros - run.net_micros)}, net {net} dollars."
        )

    def _preview(self, period_end: datetime, now: datetime) -> None:
        lines = week_preview(period_end, now)
        hosts = 0
        for host_id, own in groupby(lines, key=lambda line: line.host_id):
            hosts += 1
            self._say_invoice(f"{period_end:%Y%m%d}-{host_id}", list(own))
        net = exact_dollars(sum(line.net_micros for line in lines))
        self.stdout.write(
            f"The week to {period_end:%Y-%m-%d} has {hosts} invoices, net {net} dollars. Nothing was written."
        )

    def _say_invoice(self, number: str, lines: list[UsedLine]) -> None:
        self.stdout.write(f"Invoice {number}: net {exact_dollars(sum(line.net_micros for line in lines))} dollars")
        for line in lines:
            gross, net = exact_dollars(line.gross_micros), exact_dollars(line.net_micros)
            self.stdout.write(f"  {line.earner or 'other'} {line.kind}: gross {gross}, net {net}")


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise CommandError(f"{text!r} is not a day such as 2026-11-27.") from error
