"""The one way from one state of a payout to the next: the row, its event and the ledger, together."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing import hooks
from billing.domain.entries import EntryDraft, Line
from billing.domain.errors import PayoutStateError
from billing.domain.money import format_dollars
from billing.domain.notices import PAYOUT_RETURNED, PAYOUT_SENT
from billing.domain.payouts import ENDED_BADLY, MOVEMENTS, TRANSITIONS, Movement, PayoutState, Provider
from billing.models import AccountKind, Payout, PayoutEvent
from billing.services.accounts import owned_account_ids, system_account_id
from billing.services.ledger import entries_post

REASON_LENGTH = 300
_WAYS = {
    Provider.STRIPE: "to your bank account through Stripe; banks take up to two working days",
    Provider.PAYPAL: "to your PayPal account",
}


@transaction.atomic
def payout_move(
    *,
    payout: Payout,
    to: PayoutState,
    now: datetime,
    reason: str = "",
    actor: AbstractBaseUser | None = None,
    changes: Mapping[str, Any] | None = None,
) -> bool:
    """Takes the payout to another state, with ``changes`` to its row; False when it is no longer where the object is.

    Money moves with it, and the host is told of what it cares about. Raises PayoutStateError for a way that there is
    not.
    """
    old = PayoutState(payout.state)
    if to not in TRANSITIONS[old]:
        raise PayoutStateError(f"{payout} cannot go from {old} to {to}.")
    reason = reason[:REASON_LENGTH]
    here = Payout.objects.filter(pk=payout.pk, state=old, attempt=payout.attempt)
    if not here.update(state=to, reason=reason, **(changes or {})):
        return False
    PayoutEvent.objects.create(
        payout=payout, at=now, old_state=old, new_state=to, reason=reason, actor_id=None if actor is None else actor.pk
    )
    if (old, to) in MOVEMENTS:
        entries_post([payout_draft(payout, MOVEMENTS[old, to], now)])
    payout.refresh_from_db()
    _tell(payout, to, now)
    return True


def payout_draft(payout: Payout, movement: Movement, now: datetime) -> EntryDraft:
    """The entry of a payout's step. Each kind of entry is posted once for a payout: its key says so."""
    return EntryDraft(
        idempotency_key=f"{payout.key}:{movement.entry_kind}",
        kind=movement.entry_kind,
        memo=f"Payout {payout.key.removeprefix('payout-')}",
        occurred_at=now,
        lines=(
            Line(_account_id(payout, movement.giver), -payout.amount_micros),
            Line(_account_id(payout, movement.taker), payout.amount_micros),
        ),
        details={"payout": payout.pk, "provider": payout.provider},
    )


def fee_draft(payout: Payout, fee_micros: int, now: datetime) -> EntryDraft:
    """The entry of what the provider took for a payout: the platform bears it."""
    return EntryDraft(
        idempotency_key=f"{payout.key}:processor_fee",
        kind="processor_fee",
        memo=f"Fee for payout {payout.key.removeprefix('payout-')}",
        occurred_at=now,
        lines=(
            Line(system_account_id(AccountKind.PLATFORM_FEES), -fee_micros),
            Line(system_account_id(AccountKind.PROCESSOR_CLEARING, payout.provider), fee_micros),
        ),
        details={"payout": payout.pk, "provider": payout.provider},
    )


def _account_id(payout: Payout, kind: str) -> int:
    if kind == AccountKind.HOST_EARNINGS:
        return owned_account_ids(AccountKind.HOST_EARNINGS, [payout.host_id])[payout.host_id]
    reference = payout.provider if kind == AccountKind.PROCESSOR_CLEARING else ""
    return system_account_id(AccountKind(kind), reference)


def _tell(payout: Payout, to: PayoutState, now: datetime) -> None:
    amount = f"${format_dollars(payout.amount_micros)}"
    if to == PayoutState.SENT:
        subject = f"{amount} on the way to you"
        text = f"We sent {amount} {_WAYS[Provider(payout.provider)]}."
        kind = PAYOUT_SENT
    elif to in ENDED_BADLY:
        subject = f"Your payout of {amount} did not arrive"
        text = f"The money is back on your account and is part of your next payout. What we were told: {payout.reason}"
        kind = PAYOUT_RETURNED
    else:
        return
    hooks.money().tell(
        owner_id=payout.host_id, kind=kind, key=f"{payout.key}:{kind}", subject=subject, text=text, now=now
    )
