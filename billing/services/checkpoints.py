"""Checkpoints: they keep reading a balance as fast after a million postings as after ten."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from billing import locks
from billing.models import CheckpointRun, LedgerAccount, Posting

ACCOUNTS_PER_BATCH = 1_000


def checkpoint_accounts(*, now: datetime) -> int:
    """Brings every account's checkpoint up to the last posting that is final; returns how many moved.

    Commits in batches: until the last is done the next run starts where this one did, which changes nothing
    twice. Raises LedgerBusyError when postings in flight do not end in time.
    """
    through_id = locks.posting_horizon()
    since_id = CheckpointRun.objects.order_by("-pk").values_list("through_posting_id", flat=True).first() or 0
    recent = Posting.objects.filter(pk__gt=since_id, pk__lte=through_id)
    account_ids = list(recent.order_by("account_id").values_list("account_id", flat=True).distinct())
    moved = sum(_move(batch, through_id) for batch in _batches(account_ids))
    if moved:
        CheckpointRun.objects.create(through_posting_id=through_id, accounts_count=moved, ran_at=now)
    return moved


def _batches(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + ACCOUNTS_PER_BATCH] for start in range(0, len(ids), ACCOUNTS_PER_BATCH)]


@transaction.atomic
def _move(account_ids: Sequence[int], through_id: int) -> int:
    locks.accounts(account_ids)
    since_checkpoint = Posting.objects.filter(
        account=OuterRef("pk"), pk__gt=OuterRef("checkpoint_posting_id"), pk__lte=through_id
    )
    added = since_checkpoint.order_by().values("account").annotate(total=Sum("amount_micros")).values("total")
    behind = LedgerAccount.objects.filter(pk__in=account_ids, checkpoint_posting_id__lt=through_id)
    return behind.update(
        checkpoint_micros=F("checkpoint_micros") + Coalesce(Subquery(added), 0),
        checkpoint_posting_id=through_id,
    )
