"""Credit that one client gives another."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing import hooks, locks
from billing.domain.entries import EntryDraft, Line
from billing.domain.errors import (
    IdempotencyConflictError,
    InsufficientCreditError,
    InvalidAmountError,
    SamePartyError,
    TransferNotAllowedError,
)
from billing.domain.money import MAX_AMOUNT_MICROS, MICROS_PER_DOLLAR, exact_dollars
from billing.domain.notices import PAYMENT_RECEIVED
from billing.models import AccountKind, Entry, EntryKind, LedgerAccount, Posting
from billing.selectors.balances import balance_micros
from billing.services.accounts import accounts_ensure
from billing.services.depletion import zero_at_refresh
from billing.services.ledger import entries_post

LEAST_MICROS = MICROS_PER_DOLLAR
"""Transfers of less would be noise on the statements of strangers."""
REPEAT_WINDOW = timedelta(minutes=2)
"""The same amount to the same account this soon is the same request again: clients repeat what timed out."""
OWN_KINDS = (EntryKind.PAYMENT, EntryKind.CREDIT_GRANT)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What came of a request: the entry, and whether an earlier request had made it already."""

    entry: Entry
    repeated: bool


@transaction.atomic
def credit_transfer(
    *,
    sender: AbstractBaseUser,
    recipient: AbstractBaseUser,
    amount_micros: int,
    now: datetime,
    idempotency_key: str = "",
) -> Transfer:
    """Moves credit from one client to another, no more than the sender has at this instant.

    The same key again returns what it made the first time; without a key the same transfer within REPEAT_WINDOW is
    taken for the same request. Only accounts that paid or were granted credit themselves can send, so that credit does
    not wander on from account to account. Raises InvalidAmountError, SamePartyError, TransferNotAllowedError,
    InsufficientCreditError, and IdempotencyConflictError when the key was used for another transfer.
    """
    _check_amount(amount_micros)
    if sender.pk == recipient.pk:
        raise SamePartyError("An account cannot transfer credit to itself.")
    accounts_ensure(AccountKind.CLIENT_CREDIT, [sender.pk, recipient.pk])
    accounts = {account.owner_id: account for account in locks.client_accounts([sender.pk, recipient.pk])}
    draft = _draft(sender, recipient, accounts, amount_micros, idempotency_key, now)
    earlier = _earlier(draft, keyed=bool(idempotency_key), now=now)
    if earlier is not None:
        return Transfer(earlier, repeated=True)
    _check_may_send(sender, accounts[sender.pk], amount_micros, now)
    entry = Entry.objects.get(pk=entries_post([draft])[0])
    zero_at_refresh(owner_ids=[sender.pk, recipient.pk], now=now)
    _tell(entry, sender, recipient, amount_micros, now)
    return Transfer(entry, repeated=False)


def _check_amount(amount_micros: int) -> None:
    if not LEAST_MICROS <= amount_micros <= MAX_AMOUNT_MICROS:
        raise InvalidAmountError(f"A transfer must be of at least $1.00, not {exact_dollars(amount_micros)}.")


def _draft(
    sender: AbstractBaseUser,
    recipient: AbstractBaseUser,
    accounts: dict[int | None, LedgerAccount],
    amount_micros: int,
    key: str,
    now: datetime,
) -> EntryDraft:
    # Without a key of the caller's the sender's lock and the window keep the same request apart from a new one.
    name = f"key:{key}" if key else f"to:{recipient.pk}:{amount_micros}:{now.isoformat()}"
    return EntryDraft(
        idempotency_key=f"transfer:{sender.pk}:{name}",
        kind=EntryKind.CREDIT_TRANSFER,
        memo=f"From {sender.get_username()} to {recipient.get_username()}"[:300],
        occurred_at=now,
        actor_id=sender.pk,
        lines=(Line(accounts[sender.pk].pk, -amount_micros), Line(accounts[recipient.pk].pk, amount_micros)),
    )


def _earlier(draft: EntryDraft, *, keyed: bool, now: datetime) -> Entry | None:
    """The entry that this request made before, if it did; the sender is locked, so none is being made."""
    if keyed:
        entry = Entry.objects.filter(idempotency_key=draft.idempotency_key).first()
        if entry is not None and _lines(entry) != set(draft.moving_lines):
            raise IdempotencyConflictError("This Idempotency-Key was used for a different transfer.")
        return entry
    recent = Posting.objects.filter(
        account_id=draft.lines[0].account_id,
        amount_micros=draft.lines[0].amount_micros,
        occurred_at__gt=now - REPEAT_WINDOW,
        entry__kind=EntryKind.CREDIT_TRANSFER,
    )
    entries = [posting.entry for posting in recent.select_related("entry").order_by("-pk")]
    return next((entry for entry in entries if _lines(entry) == set(draft.moving_lines)), None)


def _lines(entry: Entry) -> set[Line]:
    return {Line(*row) for row in entry.postings.values_list("account_id", "amount_micros")}


def _check_may_send(sender: AbstractBaseUser, account: LedgerAccount, amount_micros: int, now: datetime) -> None:
    own = Posting.objects.filter(account=account, entry__kind__in=OWN_KINDS, amount_micros__gt=0)
    # From the oldest on: an account's history begins with what it got, so the first row read is the answer.
    if not own.order_by("pk").values_list("pk", flat=True)[:1]:
        raise TransferNotAllowedError("Only accounts that have paid in or were granted credit can transfer it.")
    balance = balance_micros(sender, now)
    if balance < amount_micros:
        raise InsufficientCreditError(
            f"Your credit is {exact_dollars(balance)} dollars; a transfer of {exact_dollars(amount_micros)} needs more."
        )


def _tell(
    entry: Entry, sender: AbstractBaseUser, recipient: AbstractBaseUser, amount_micros: int, now: datetime
) -> None:
    amount = f"${exact_dollars(amount_micros)}"
    hooks.money().tell(
        owner_id=recipient.pk,
        kind=PAYMENT_RECEIVED,
        key=f"transfer:{entry.pk}",
        subject=f"You received {amount} of credit",
        text=f"{sender.get_username()} transferred {amount} of credit to your account. You can use it at once.",
        now=now,
    )
