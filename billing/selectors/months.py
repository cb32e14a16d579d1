"""Statements of a month: exactly what the ledger says, from one snapshot, so that they always add up."""

from dataclasses import dataclass
from datetime import date, datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection
from psycopg2.sql import SQL

from billing.domain.periods import Month, midnight
from billing.models import AccountKind, EntryKind, LedgerAccount, Posting
from billing.selectors.charges import ReferenceTotal

PAYMENT_KINDS = (EntryKind.PAYMENT, EntryKind.CREDIT_GRANT)

# A balance at an instant is what the ledger says now less what came later: little, for the months that people look at.
_ACCOUNT = SQL("""
WITH account AS MATERIALIZED (
    SELECT id, checkpoint_micros, checkpoint_posting_id FROM billing_ledgeraccount
    WHERE kind = 'client_credit' AND owner_id = %(owner_id)s AND reference = ''
), opening AS MATERIALIZED (
    SELECT a.checkpoint_micros + COALESCE((SELECT SUM(p.amount_micros) FROM billing_posting p
            WHERE p.account_id = a.id AND p.id > a.checkpoint_posting_id), 0)
        - COALESCE((SELECT SUM(p.amount_micros) FROM billing_posting p
            WHERE p.account_id = a.id AND p.occurred_at > %(since)s), 0) AS micros
    FROM account a
)
""")
_STATEMENT = _ACCOUNT + SQL(""", period AS MATERIALIZED (
    SELECT p.id, p.occurred_at, p.amount_micros, e.kind, e.memo, e.meter_id
    FROM billing_posting p JOIN billing_entry e ON e.id = p.entry_id
    WHERE p.account_id = (SELECT id FROM account) AND p.occurred_at > %(since)s AND p.occurred_at <= %(until)s
)
SELECT 'opening' AS part, NULL::timestamptz AS occurred_at, 0 AS id, '' AS kind, '' AS about, micros::bigint AS micros
FROM opening
UNION ALL
SELECT 'charge', NULL, 0, m.kind, m.reference, -SUM(d.amount_micros)::bigint
FROM period d JOIN billing_meter m ON m.id = d.meter_id WHERE d.kind = 'usage' GROUP BY m.kind, m.reference
UNION ALL
SELECT 'movement', occurred_at, id, kind, memo, amount_micros FROM period WHERE kind <> 'usage'
ORDER BY 1, 2, 3, 5
""")
_MONTHS = _ACCOUNT + SQL("""
SELECT NULL::date, micros::bigint, 0 FROM opening
UNION ALL
SELECT date_trunc('month', (p.occurred_at - interval '1 microsecond') AT TIME ZONE 'UTC')::date AS month,
    COALESCE(SUM(p.amount_micros) FILTER (WHERE p.amount_micros > 0), 0)::bigint,
    COALESCE(SUM(p.amount_micros) FILTER (WHERE p.amount_micros < 0), 0)::bigint
FROM billing_posting p
WHERE p.account_id = (SELECT id FROM account) AND p.occurred_at > %(since)s AND p.occurred_at <= %(until)s
GROUP BY month
ORDER BY 1 NULLS FIRST
""")


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that came or went otherwise than by use; positive is to the client's credit."""

    occurred_at: datetime
    kind: str
    memo: str
    amount_micros: int


@dataclass(frozen=True, slots=True)
class MonthStatement:
    """All that happened to a client's credit in a month, in micro-dollars."""

    month: Month
    opening_micros: int
    charges: list[ReferenceTotal]
    movements: list[Movement]

    @property
    def charges_micros(self) -> int:
        """What use cost; positive."""
        return sum(charge.amount_micros for charge in self.charges)

    @property
    def payments(self) -> list[Movement]:
        """Money that was paid in or given."""
        return [movement for movement in self.movements if movement.kind in PAYMENT_KINDS]

    @property
    def others(self) -> list[Movement]:
        """Refunds, disputes, transfers, corrections."""
        return [movement for movement in self.movements if movement.kind not in PAYMENT_KINDS]

    @property
    def movements_micros(self) -> int:
        return sum(movement.amount_micros for movement in self.movements)

    @property
    def closing_micros(self) -> int:
        return self.opening_micros + self.movements_micros - self.charges_micros


@dataclass(frozen=True, slots=True)
class MonthSum:
    """A line of the list of statements; ``in`` is positive, ``out`` negative, both micro-dollars."""

    month: Month
    in_micros: int
    out_micros: int
    closing_micros: int


def month_statement(user: AbstractBaseUser, month: Month) -> MonthStatement:
    """The client's month as the ledger has it; what is accrued and not posted yet (every hour it is) comes later."""
    opening = 0
    charges: list[ReferenceTotal] = []
    movements: list[Movement] = []
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, {"owner_id": user.pk, "since": month.since, "until": month.until})
        for part, occurred_at, _, kind, about, micros in cursor.fetchall():
            if part == "opening":
                opening = micros
            elif part == "charge":
                charges.append(ReferenceTotal(about, kind, micros))
            else:
                movements.append(Movement(occurred_at, kind, about, micros))
    return MonthStatement(month, opening, charges, movements)


def statement_years(user: AbstractBaseUser, now: datetime) -> list[int]:
    """The years that the client has statements of, newest first: from its first movement to the present."""
    accounts = LedgerAccount.objects.filter(kind=AccountKind.CLIENT_CREDIT, owner_id=user.pk, reference="")
    postings = Posting.objects.filter(account_id=accounts.values_list("pk", flat=True).first())
    first = postings.order_by("occurred_at").values_list("occurred_at", flat=True).first()
    return [] if first is None else list(range(Month.of(now).year, Month.of(first).year - 1, -1))


def statement_months(user: AbstractBaseUser, year: int, now: datetime) -> list[MonthSum]:
    """The months of ``year`` from the client's first movement to the present one, newest first."""
    since, until = midnight(date(year, 1, 1)), midnight(date(year + 1, 1, 1))
    with connection.cursor() as cursor:
        cursor.execute(_MONTHS, {"owner_id": user.pk, "since": since, "until": until})
        rows = cursor.fetchall()
    if not rows:
        return []
    balance = rows[0][1]
    moved = {Month(day.year, day.month): (came, went) for day, came, went in rows[1:]}
    months: list[MonthSum] = []
    for number in range(1, 13):
        month = Month(year, number)
        if month > Month.of(now) or (not months and not balance and month not in moved):
            continue
        came, went = moved.get(month, (0, 0))
        balance += came + went
        months.append(MonthSum(month, came, went, balance))
    return months[::-1]
