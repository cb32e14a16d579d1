"""Gives credit from the command line."""

from argparse import ArgumentParser
from typing import Any
from uuid import uuid4

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.domain.errors import BillingError
from billing.domain.money import exact_dollars, parse_dollars
from billing.services import credit_grant


class Command(BaseCommand):
    help = "Give an account credit."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True, help="the account that gets the credit")
        parser.add_argument("--amount", required=True, help="dollars, such as 12.50")
        parser.add_argument("--reason", required=True, help="shown on the statement")
        parser.add_argument("--actor", help="e-mail of the member of staff who gives it")
        parser.add_argument("--key", help="repeating a command with the same key gives the credit once")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            entry = credit_grant(
                user=_account(options["email"]),
                amount_micros=parse_dollars(options["amount"]),
                actor=_account(options["actor"]) if options["actor"] else None,
                reason=options["reason"],
                idempotency_key=options["key"] or str(uuid4()),
                now=timezone.now(),
            )
        except BillingError as error:
            raise CommandError(error.message) from error
        amount = exact_dollars(parse_dollars(options["amount"]))
        self.stdout.write(f"{options['email']} has {amount} dollars more (entry {entry.pk}).")


def _account(email: str) -> AbstractBaseUser:
    accounts: Any = get_user_model()._default_manager
    try:
        user: AbstractBaseUser = accounts.get_by_natural_key(email)
    except get_user_model().DoesNotExist as error:
        raise CommandError(f"There is no account {email}.") from error
    return user
