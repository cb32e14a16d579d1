"""Settles all meters, for an installation whose beat stood still and for whoever wants the books up to date."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from billing.services import settle_running


class Command(BaseCommand):
    help = "Post what all meters have accrued."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--at", help="up to this instant, such as 2026-03-06T00:00:00+00:00; default: now")

    def handle(self, *_: Any, **options: Any) -> None:
        now = timezone.now()
        at = _instant(options["at"]) if options["at"] else now
        if at > now:
            raise CommandError("The future cannot be settled.")
        self.stdout.write(f"{settle_running(now=at)} entries posted.")


def _instant(text: str) -> datetime:
    try:
        instant = parse_datetime(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise CommandError(f"{text!r} is not an instant with its offset from UTC.")
    return instant
