"""``manage.py demo_seed prepare|finish|benchmark``: fills the demo installation. Not for production."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketplace.demo import seed


class Command(BaseCommand):
    help = (
        "Makes the demo's accounts and tokens (prepare), then lists and rents its machines (finish); has one measured."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("step", choices=["prepare", "finish", "benchmark"])
        parser.add_argument(
            "--dir",
            type=Path,
            default=settings.BASE_DIR / "var" / "demo",
            help="where accounts.json, agent-token, fleet.json lie",
        )
        parser.add_argument("--out", type=Path, default=settings.BASE_DIR / "var" / "demo.json")
        parser.add_argument("--image", default="spotyard/demo:2")
        parser.add_argument("--wait-seconds", type=float, default=120)

    def handle(self, *_args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("demo_seed is for the demo installation: set DEMO=1")
        if options["step"] == "prepare":
            seed.prepare(options["dir"], options["image"], timezone.now())
            return
        if options["step"] == "benchmark":
            seed.benchmark(timezone.now())
            return
        try:
            facts = seed.finish(
                options["dir"],
                url=settings.SITE_URL,
                image=options["image"],
                wait_seconds=options["wait_seconds"],
                say=self.stdout.write,
            )
        except TimeoutError as error:
            raise CommandError(str(error)) from error
        temporary = options["out"].with_suffix(".tmp")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(facts, indent=2))
        temporary.replace(options["out"])
