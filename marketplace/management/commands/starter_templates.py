"""``manage.py starter_templates``: makes or refreshes the templates that the platform itself offers."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from marketplace.services.templates import starter_set
from marketplace.starter_templates import STARTERS


class Command(BaseCommand):
    help = "Makes or refreshes the starter templates. Run it after every update; what staff decided about them stays."

    def handle(self, *_args: Any, **_options: Any) -> None:
        count = starter_set(starters=STARTERS, now=timezone.now())
        self.stdout.write(f"{count} starter templates are there.")
