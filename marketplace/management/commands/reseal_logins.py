"""``manage.py reseal_logins``: encrypts all stored registry logins with the newest key of FIELD_ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand

from marketplace.services.registry_logins import logins_reseal


class Command(BaseCommand):
    help = "Encrypts all stored registry logins with the first key of FIELD_ENCRYPTION_KEYS; older keys may go then."

    def handle(self, *_args: Any, **_options: Any) -> None:
        done, lost = logins_reseal()
        self.stdout.write(f"{done} logins are encrypted with the newest key; {lost} can't be read with any key.")
