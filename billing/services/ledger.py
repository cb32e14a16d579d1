"""The only writer of entries and postings."""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakSet

from django.db import connection

from billing.domain.entries import EntryDraft

# One statement each, so that the rules find every entry whole and none has to be looked at again at commit.
_INSERT_MANY = """
WITH entry AS (
    INSERT INTO billing_entry (idempotency_key, kind, memo, actor_id, meter_id, occurred_at, details)
    SELECT * FROM unnest(
        %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::jsonb[]
    )
    RETURNING idempotency_key, id, occurred_at
), posting AS (
    INSERT INTO billing_posting (entry_id, account_id, amount_micros, occurred_at)
    SELECT entry.id, line.account_id, line.amount_micros, entry.occurred_at
    FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS line (idempotency_key, account_id, amount_micros)
    JOIN entry USING (idempotency_key)
)
SELECT idempotency_key, id FROM entry
"""
_PREPARE_ONE = """
PREPARE spotyard_entry_post (text, text, text, bigint, bigint, timestamptz, jsonb, bigint[], bigint[]) AS
WITH entry AS (
    INSERT INTO billing_entry (idempotency_key, kind, memo, actor_id, meter_id, occurred_at, details)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    RETURNING id
), posting AS (
    INSERT INTO billing_posting (entry_id, account_id, amount_micros, occurred_at)
    SELECT entry.id, line.account_id, line.amount_micros, $6
    FROM entry, unnest($8, $9) AS line (account_id, amount_micros)
)
SELECT id FROM entry
"""
_INSERT_ONE = "EXECUTE spotyard_entry_post (%s, %s, %s, %s, %s, %s, %s, %s::bigint[], %s::bigint[])"

_prepared_on: WeakSet[Any] = WeakSet()
"""Connections that know the statement: it takes longer to plan than to execute. A new connection is not among them."""


def entries_post(drafts: Sequence[EntryDraft]) -> list[int]:
    """Writes balanced entries with their postings, in one statement; returns the entries' ids.

    The caller holds the locks of the clients among the accounts. Raises IntegrityError when an idempotency key is
    taken; nothing of the batch is written then.
    """
    if len(drafts) == 1:
        return [_post_one(drafts[0])]
    if not drafts:
        return []
    lines = [row for draft in drafts for row in _posting_rows(draft)]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_MANY, _columns(map(_entry_row, drafts)) + _columns(lines))
        ids = dict(cursor.fetchall())
    return [ids[draft.idempotency_key] for draft in drafts]


def _post_one(draft: EntryDraft) -> int:
    account_ids, amounts = _columns((line.account_id, line.amount_micros) for line in draft.moving_lines)
    with connection.cursor() as cursor:
        if connection.connection not in _prepared_on:
            cursor.execute(_PREPARE_ONE)
            _prepared_on.add(connection.connection)
        cursor.execute(_INSERT_ONE, [*_entry_row(draft), account_ids, amounts])
        return int(cursor.fetchone()[0])


def _entry_row(draft: EntryDraft) -> tuple[Any, ...]:
    return (
        draft.idempotency_key,
        draft.kind,
        draft.memo,
        draft.actor_id,
        draft.meter_id,
        draft.occurred_at,
        json.dumps(dict(draft.details)),
    )


def _posting_rows(draft: EntryDraft) -> list[tuple[str, int, int]]:
    return [(draft.idempotency_key, line.account_id, line.amount_micros) for line in draft.moving_lines]


def _columns(rows: Iterable[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
