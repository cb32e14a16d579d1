"""Gives credit from the command line."""

from argparse import ArgumentParser
from typing import Any
from uuid import uuid4

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from billing.domain.errors import BillingError
from billing.domain.money import exact_dollars, parse_dollars
from billing.models import AdjustmentRequest, Entry
from billing.services import credit_give, credit_grant, credit_note
from billing.services.alone import alone_sentence


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
            made = _give(options)
        except BillingError as error:
            raise CommandError(error.message) from error
        amount = exact_dollars(parse_dollars(options["amount"]))
        if isinstance(made, AdjustmentRequest):
            self.stdout.write(f"{alone_sentence()} {amount} dollars are asked for (request {made.pk}).")
        else:
            self.stdout.write(f"{options['email']} has {amount} dollars more (entry {made.pk}).")


@transaction.atomic
def _give(options: dict[str, Any]) -> Entry | AdjustmentRequest:
    """Without a member of the staff it is whoever has the server: the audit log has it all the same."""
    user, now = _account(options["email"]), timezone.now()
    given: dict[str, Any] = {"user": user, "amount_micros": parse_dollars(options["amount"]), "now": now}
    given |= {"reason": options["reason"], "idempotency_key": options["key"] or str(uuid4())}
    if options["actor"]:
        return credit_give(**given, actor=_account(options["actor"]))
    known = Entry.objects.filter(idempotency_key=f"grant:{given['idempotency_key']}").exists()
    entry = credit_grant(**given, actor=None)
    if not known:
        credit_note(entry, owner_id=user.pk, amount_micros=given["amount_micros"], now=now)
    return entry


def _account(email: str) -> AbstractBaseUser:
    accounts: Any = get_user_model()._default_manager
    try:
        user: AbstractBaseUser = accounts.get_by_natural_key(email)
    except get_user_model().DoesNotExist as error:
        raise CommandError(f"There is no account {email}.") from error
    return user
