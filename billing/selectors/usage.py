"""Use in a period, summed by whatever is asked for: days, machines, meters, kinds. One statement whatever the number of
entries, so that what a settlement posts meanwhile is neither missed nor counted twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection
from psycopg2.sql import SQL, Composed

from billing.models import AccountKind

By = Literal["day", "earner", "reference", "kind", "use", "rate_micros"]

# What the pure functions of ``billing.domain.accrual`` say, as SQL: nothing is rounded before the one division.
_TOTAL = """DIV(units + CASE WHEN running_since IS NULL THEN 0 ELSE
    rate_micros * GREATEST(0, EXTRACT(EPOCH FROM %(now)s - settled_at) * 1000000) END,
    CASE kind WHEN 'traffic' THEN 1000000000 ELSE 3600000000 END) - posted_micros"""
_ACCRUED = {
    AccountKind.CLIENT_CREDIT: SQL(_TOTAL),
    AccountKind.HOST_EARNINGS: SQL(f"DIV(share_units + ({_TOTAL}) * host_share_bps, 10000) - DIV(share_units, 10000)"),
}
_PARTY = {AccountKind.CLIENT_CREDIT: SQL("payer_id"), AccountKind.HOST_EARNINGS: SQL("payee_id")}
_SIGN = {AccountKind.CLIENT_CREDIT: SQL("-"), AccountKind.HOST_EARNINGS: SQL("")}
_COLUMNS: dict[By, SQL] = {
    "day": SQL("used.day"),
    "earner": SQL("m.earner"),
    "reference": SQL("m.reference"),
    "kind": SQL("m.kind"),
    "use": SQL("CASE m.kind WHEN 'traffic' THEN split_part(m.reference, ':', 3) ELSE m.kind END"),
    "rate_micros": SQL("used.rate"),
}
# What a posting was charged at is in its entry; reading it costs, so it is read only when it is asked for.
_RATE = SQL("(e.details->>'rate_micros')::bigint")
_NO_RATE = SQL("NULL::bigint")
_USE = SQL("""
WITH posted AS (
    SELECT e.meter_id, ((p.occurred_at - interval '1 microsecond') AT TIME ZONE 'UTC')::date AS day,
        {rate} AS rate, SUM(p.amount_micros) AS micros
    FROM billing_posting p JOIN billing_entry e ON e.id = p.entry_id AND e.kind = 'usage'
    WHERE p.account_id = (SELECT id FROM billing_ledgeraccount
            WHERE kind = %(kind)s AND owner_id = %(owner_id)s AND reference = '')
        AND p.occurred_at > %(since)s AND p.occurred_at <= %(until)s
    GROUP BY 1, 2, 3
), used AS (
    SELECT meter_id, day, rate, {sign}micros AS micros FROM posted
    UNION ALL
    SELECT id, ((%(now)s - interval '1 microsecond') AT TIME ZONE 'UTC')::date, rate_micros, {accrued}
    FROM billing_meter
    WHERE closed_at IS NULL AND {party} = %(owner_id)s AND %(now)s > %(since)s AND %(now)s <= %(until)s
)
SELECT {columns}, SUM(used.micros)::bigint
FROM used JOIN billing_meter m ON m.id = used.meter_id
WHERE m.earner = COALESCE(%(earner)s, m.earner)
    AND (%(things)s::text[] IS NULL
        OR split_part(m.reference, ':', 1) || ':' || split_part(m.reference, ':', 2) = ANY(%(things)s))
GROUP BY {columns} HAVING SUM(used.micros) <> 0 ORDER BY {columns}
""")


@dataclass(frozen=True, slots=True)
class UseSum:
    """Micro-dollars that were charged or earned. What was not asked for is None or empty."""

    amount_micros: int
    day: date | None = None
    earner: str = ""
    reference: str = ""
    kind: str = ""
    use: str = ""
    """As ``kind``, where traffic has its direction: "upload"."""
    rate_micros: int | None = None
    """Micro-dollars per hour, or per GB of traffic."""


def charges_by(
    user: AbstractBaseUser,
    by: Sequence[By],
    since: datetime,
    until: datetime,
    now: datetime,
    things: Sequence[str] | None = None,
) -> list[UseSum]:
    """What the client was charged after ``since`` and up to ``until``, summed by ``by`` and in its order.

    A posting belongs to the end of the time it pays for; what is accrued and not posted belongs to ``now`` and is
    included when the period contains it. ``things`` narrows to some, such as "instance:12".
    """
    return list(_sums(AccountKind.CLIENT_CREDIT, user, by, since, until, now, things=things))


def charges_streamed(
    user: AbstractBaseUser, by: Sequence[By], since: datetime, until: datetime, now: datetime
) -> Iterator[UseSum]:
    """The same, row by row through a cursor on the server, for files of any length."""
    return _sums(AccountKind.CLIENT_CREDIT, user, by, since, until, now, streamed=True)


def earnings_by(
    user: AbstractBaseUser, by: Sequence[By], since: datetime, until: datetime, now: datetime, earner: str | None = None
) -> list[UseSum]:
    """The host's part of what others were charged, as ``charges_by`` says it; ``earner`` narrows to "machine:7"."""
    sums = _sums(AccountKind.HOST_EARNINGS, user, by, since, until, now, earner=earner)
    return list(sums)


def earnings_streamed(
    user: AbstractBaseUser, by: Sequence[By], since: datetime, until: datetime, now: datetime
) -> Iterator[UseSum]:
    """The same, row by row through a cursor on the server."""
    return _sums(AccountKind.HOST_EARNINGS, user, by, since, until, now, streamed=True)


def _sums(
    kind: AccountKind,
    user: AbstractBaseUser,
    by: Sequence[By],
    since: datetime,
    until: datetime,
    now: datetime,
    *,
    earner: str | None = None,
    things: Sequence[str] | None = None,
    streamed: bool = False,
) -> Iterator[UseSum]:
    parameters = {
        "kind": kind.value,
        "owner_id": user.pk,
        "since": since,
        "until": until,
        "now": now,
        "earner": earner,
        "things": None if things is None else list(things),
    }
    with connection.chunked_cursor() if streamed else connection.cursor() as cursor:
        cursor.execute(_query(kind, by), parameters)
        for *keys, micros in cursor:
            values: dict[str, Any] = dict(zip(by, keys, strict=True))
            yield UseSum(micros, **values)


def _query(kind: AccountKind, by: Sequence[By]) -> Composed:
    columns = SQL(", ").join([_COLUMNS[name] for name in by])
    rate = _RATE if "rate_micros" in by else _NO_RATE
    return _USE.format(sign=_SIGN[kind], accrued=_ACCRUED[kind], party=_PARTY[kind], rate=rate, columns=columns)
