"""Runs the relay: hosting/relay/."""

import ssl
from typing import Any

import asyncssh
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hosting.relay import process
from hosting.relay.gate import use_short_timeouts


class Command(BaseCommand):
    help = "Run the relay, through which clients reach instances on machines behind NAT, until SIGTERM."

    def handle(self, *_: Any, **__: Any) -> None:
        if not settings.RELAY_HOST:
            raise CommandError("Set RELAY_HOST to the name under which clients and agents reach this relay.")
        use_short_timeouts()
        try:
            process.run()
        except (OSError, ssl.SSLError, asyncssh.KeyImportError) as error:
            raise CommandError(f"The relay can't run: {error}") from error
