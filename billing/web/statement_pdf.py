"""A month's statement as a document."""

from collections.abc import Sequence
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser

from billing.domain.money import exact_dollars
from billing.letterhead import letterhead
from billing.models import EntryKind
from billing.pdf import Align, Column, Document, Fact, Party, Row, Table, Total
from billing.selectors import MonthStatement, Movement
from billing.web.usage import SubjectCharges, by_subject

MOST_ROWS = 400
"""Rows of one table; the rest of a longer one is summed up, and stands in the CSV file."""

_RIGHT = Align.RIGHT
_CHARGES = (
    Column("Instance", 5),
    Column("GPU", 3, _RIGHT),
    Column("Disk", 3, _RIGHT),
    Column("Traffic", 3, _RIGHT),
    Column("Total", 3, _RIGHT),
)
_MOVEMENTS = (Column("When (UTC)", 4), Column("What", 9), Column("Amount", 4, _RIGHT))


def statement_document(user: AbstractBaseUser, statement: MonthStatement, now: datetime) -> Document:
    """The statement as it is at ``now``."""
    month = statement.month
    return Document(
        letterhead=letterhead(),
        title="Account statement",
        subtitle=f"{month.first_day:%B %Y}",
        created_at=now,
        parties=(account_party(user),),
        facts=(
            Fact("Period (UTC)", f"{month.first_day} to {month.last_day}"),
            Fact("Opening balance", dollars(statement.opening_micros)),
            Fact("Closing balance", dollars(statement.closing_micros)),
        ),
        tables=(
            _charges(by_subject(statement.charges), statement.charges_micros),
            _movements("Payments and credit", statement.payments),
            _movements("Refunds, transfers and corrections", statement.others),
            _balance(statement),
        ),
        notes=_notes(statement, now),
        footer=f"Statement {month}, account {user.pk}",
    )


def account_party(user: AbstractBaseUser) -> Party:
    """Whom a document is for."""
    name = str(getattr(user, "full_name", "")) or user.get_username()
    return Party("Account", name, (user.get_username(), f"Account {user.pk}"))


def dollars(micros: int) -> str:
    """Every digit that counts, so that the reader can add up."""
    amount = exact_dollars(micros)
    return f"-${amount[1:]}" if amount.startswith("-") else f"${amount}"


def _charges(rows: Sequence[SubjectCharges], total_micros: int) -> Table:
    shown = [
        Row(
            (
                row.subject.capitalize(),
                dollars(row.gpu_micros),
                dollars(row.storage_micros),
                dollars(row.traffic_micros),
                dollars(row.total_micros),
            )
        )
        for row in rows[:MOST_ROWS]
    ]
    rest = rows[MOST_ROWS:]
    if rest:
        sums = (
            sum(row.gpu_micros for row in rest),
            sum(row.storage_micros for row in rest),
            sum(row.traffic_micros for row in rest),
            sum(row.total_micros for row in rest),
        )
        shown.append(Row((f"{len(rest)} more instances", *map(dollars, sums))))
    return Table(_CHARGES, tuple(shown), "Charges", (Total("Charges", dollars(total_micros)),), "Nothing was used.")


def _movements(title: str, movements: Sequence[Movement]) -> Table:
    shown = [
        Row(
            (
                f"{row.occurred_at:%Y-%m-%d %H:%M:%S}",
                f"{EntryKind(row.kind).label}: {row.memo}",
                dollars(row.amount_micros),
            )
        )
        for row in movements[:MOST_ROWS]
    ]
    rest = movements[MOST_ROWS:]
    if rest:
        shown.append(Row(("", f"{len(rest)} more movements", dollars(sum(row.amount_micros for row in rest)))))
    total = sum(row.amount_micros for row in movements)
    return Table(_MOVEMENTS, tuple(shown), title, (Total("Together", dollars(total)),) if movements else (), "None.")


def _balance(statement: MonthStatement) -> Table:
    rows = (
        Row(("Opening balance", dollars(statement.opening_micros))),
        Row(("Payments and credit", dollars(sum(row.amount_micros for row in statement.payments)))),
        Row(("Refunds, transfers and corrections", dollars(sum(row.amount_micros for row in statement.others)))),
        Row(("Charges", dollars(-statement.charges_micros))),
    )
    closing = Total("Closing balance", dollars(statement.closing_micros), strong=True)
    return Table((Column("Balance", 3), Column("Amount", 1, _RIGHT)), rows, "Balance", (closing,))


def _notes(statement: MonthStatement, now: datetime) -> tuple[str, ...]:
    always = (
        "All amounts are US dollars, exact to the millionth. A charge belongs to the end of the time that it pays for."
    )
    if statement.month.until < now:
        return (always,)
    return (
        always,
        f"The month is not over: this is the account at {now:%Y-%m-%d %H:%M} UTC, up to the last full hour.",
    )
