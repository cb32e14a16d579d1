"""What became of payouts that their provider can't be asked about any more by name: staff look there and say."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing.domain.errors import NotStaffError, PayoutStateError
from billing.domain.payouts import PayoutState
from billing.models import Payout
from billing.services.payout_sending import REMEMBERED_FOR
from billing.services.payout_states import payout_move


@transaction.atomic
def payout_declare_sent(
    *, payout_id: int, transfer_id: str, item_id: str, actor: AbstractBaseUser, now: datetime
) -> Payout:
    """Goes on with a payout that the provider has under these ids: it is asked about them from now on.

    Raises NotStaffError, and PayoutStateError for one that was not forgotten, without an id or with another's.
    """
    payout = _forgotten(payout_id, actor, now)
    if not transfer_id:
        raise PayoutStateError(f"{payout}: give the id under which the provider has it.")
    if Payout.objects.filter(transfer_id=transfer_id).exists():
        raise PayoutStateError(f"{transfer_id} is another payout's.")
    changes = {"transfer_id": transfer_id, "item_id": item_id, "sent_at": now, "next_at": now}
    payout_move(payout=payout, to=PayoutState.SENT, now=now, actor=actor, changes=changes)
    return payout


@transaction.atomic
def payout_declare_lost(*, payout_id: int, actor: AbstractBaseUser, now: datetime) -> Payout:
    """Puts back the money of a payout that the provider never carried.

    Raises NotStaffError, and PayoutStateError for one that was not forgotten.
    """
    payout = _forgotten(payout_id, actor, now)
    reason = "The provider has no record of it."
    payout_move(payout=payout, to=PayoutState.FAILED, now=now, actor=actor, reason=reason, changes={"ended_at": now})
    return payout


def _forgotten(payout_id: int, actor: AbstractBaseUser, now: datetime) -> Payout:
    """One that stayed ``sending`` until its provider forgot its name. Before that nobody may say what became of it:
    the same order is asked for again, and that tells."""
    if not getattr(actor, "is_staff", False):
        raise NotStaffError("Only staff may say what became of a payout.")
    payout = Payout.objects.select_related("run").get(pk=payout_id)
    if payout.state != PayoutState.SENDING or payout.created_at > now - REMEMBERED_FOR:
        raise PayoutStateError(f"{payout} is not one that its provider can't be asked about any more.")
    return payout
