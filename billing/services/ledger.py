"""The only writer of entries and postings."""

from collections.abc import Sequence

from billing.domain.entries import EntryDraft
from billing.models import Entry, Posting

BATCH_ROWS = 2_000


def entries_post(drafts: Sequence[EntryDraft]) -> list[Entry]:
    """Writes balanced entries with their postings. The caller holds the locks of the clients among the
    accounts.

    Raises IntegrityError when an idempotency key is taken; nothing of the batch is written then.
    """
    entries = Entry.objects.bulk_create([_entry(draft) for draft in drafts], batch_size=BATCH_ROWS)
    postings = [
        Posting(
            entry=entry,
            account_id=line.account_id,
            amount_micros=line.amount_micros,
            occurred_at=draft.occurred_at,
        )
        for entry, draft in zip(entries, drafts, strict=True)
        for line in draft.moving_lines
    ]
    Posting.objects.bulk_create(postings, batch_size=BATCH_ROWS)
    return entries


def _entry(draft: EntryDraft) -> Entry:
    return Entry(
        idempotency_key=draft.idempotency_key,
        kind=draft.kind,
        memo=draft.memo,
        actor_id=draft.actor_id,
        meter_id=draft.meter_id,
        occurred_at=draft.occurred_at,
        details=dict(draft.details),
    )
