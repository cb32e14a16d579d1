"""The only writer of entries and postings."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import connection

from billing.domain.entries import EntryDraft

_INSERT_ENTRIES = """
INSERT INTO billing_entry (idempotency_key, kind, memo, actor_id, meter_id, occurred_at, details)
SELECT * FROM unnest(
    %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::jsonb[]
)
RETURNING idempotency_key, id
"""
_INSERT_POSTINGS = """
INSERT INTO billing_posting (entry_id, account_id, amount_micros, occurred_at)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[])
"""


def entries_post(drafts: Sequence[EntryDraft]) -> list[int]:
    """Writes balanced entries with their postings, in two statements; returns the entries' ids.

    The caller holds the locks of the clients among the accounts. Raises IntegrityError when an idempotency key is
    taken; nothing of the batch is written then.
    """
    if not drafts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_ENTRIES, _columns(map(_entry_row, drafts)))
        ids = dict(cursor.fetchall())
        cursor.execute(_INSERT_POSTINGS, _columns(row for draft in drafts for row in _posting_rows(draft, ids)))
    return [ids[draft.idempotency_key] for draft in drafts]


def _entry_row(draft: EntryDraft) -> tuple[object, ...]:
    return (
        draft.idempotency_key,
        draft.kind,
        draft.memo,
        draft.actor_id,
        draft.meter_id,
        draft.occurred_at,
        json.dumps(dict(draft.details)),
    )


def _posting_rows(draft: EntryDraft, ids: Mapping[str, int]) -> list[tuple[int, int, int, datetime]]:
    entry_id = ids[draft.idempotency_key]
    return [(entry_id, line.account_id, line.amount_micros, draft.occurred_at) for line in draft.moving_lines]


def _columns(rows: Iterable[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
