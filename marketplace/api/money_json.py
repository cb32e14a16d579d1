"""How money looks in the API: dollars as numbers, times as seconds since 1970, rows as the command-line client reads
them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from billing.domain.periods import DAY, midnight
from billing.selectors import AccountMovement, UseSum
from marketplace.api.instance_json import dollars

SERVICES: dict[str, tuple[str, ...]] = {
    "transfer": ("credit_transfer",),
    "stripe_payments": ("payment", "payment_refund", "dispute", "dispute_won"),
    "paypal_manual": ("payout", "payout_returned"),
    "wise_manual": ("payout", "payout_returned"),
    "bitpay": (),
    "coinbase": (),
    "crypto.com": (),
    "instance_prepay": (),
}
"""What clients filter invoices by, as kinds of movements; some are services that this marketplace does not have."""

_TYPES = {
    "credit_transfer": ("transfer", "transfer"),
    "payment": ("credit", "card"),
    "payment_refund": ("refund", "card"),
    "dispute": ("refund", "card"),
    "dispute_won": ("credit", "card"),
    "payout": ("payout", "payout"),
    "payout_returned": ("payout", "payout"),
}
_USE_NAMES = {"gpu": "GPU time", "storage": "Disk", "traffic": "Traffic"}
_EPOCH_DAY = date(1970, 1, 1)


def invoice_row(movement: AccountMovement) -> dict[str, Any]:
    """A movement as invoices-v1 lists it. The client turns the sign of everything but transfers and payouts."""
    kind, source = _TYPES.get(movement.kind, ("credit", "staff"))
    at = movement.occurred_at.timestamp()
    return {
        "start": at,
        "end": at,
        "amount": dollars(movement.amount_micros if kind == "transfer" else -movement.amount_micros),
        "type": kind,
        "source": source,
        "description": movement.memo,
        "items": [],
        "metadata": {"invoice_id": movement.posting_id, "kind": movement.kind},
    }


def payment_row(movement: AccountMovement) -> dict[str, Any]:
    """A movement as the older invoices list it: positive is to the account's credit."""
    amount = dollars(movement.amount_micros)
    return {
        "id": movement.posting_id,
        "type": "payment",
        "timestamp": movement.occurred_at.timestamp(),
        "description": movement.memo,
        "quantity": 1.0,
        "rate": amount,
        "amount": amount,
        "instance_id": None,
    }


def charge_row(use: UseSum, since: datetime, until: datetime) -> dict[str, Any]:
    """A day's use of one meter at one rate; the quantity is hours, or gigabytes of traffic."""
    thing, number = thing_of(use.reference)
    rate_micros = use.rate_micros or 0
    end = midnight(use.day or until.date()) + DAY
    return {
        "id": None,
        "type": "charge",
        "timestamp": max(since, min(end, until)).timestamp(),
        "description": f"{thing.replace(':', ' ').capitalize()}: {_USE_NAMES.get(use.kind, use.kind)}",
        "quantity": round(use.amount_micros / rate_micros, 6) if rate_micros else 0.0,
        "rate": dollars(rate_micros),
        "amount": dollars(use.amount_micros),
        "instance_id": number if thing.startswith("instance:") else None,
    }


def thing_of(reference: str) -> tuple[str, int | None]:
    """What a meter measures, "instance:12" of "instance:12:gpu", and its number where it has one."""
    thing = ":".join(reference.split(":")[:2])
    number = thing.partition(":")[2]
    return thing, int(number) if number.isdecimal() else None


def instance_charges(
    thing: str, uses: Iterable[UseSum], description: str, now: datetime, *, by_day: bool
) -> dict[str, Any]:
    """All that one instance, or volume, was charged in a period; in it the kinds of use, or days and in them kinds."""
    rows = list(uses)
    days = sorted({use.day for use in rows if use.day is not None})
    begin, end = midnight(days[0]), min(midnight(days[-1]) + DAY, now)
    items = [_day_charges(day, rows, now) for day in days] if by_day else _kind_items(rows, begin, end)
    number = thing_of(thing)[1]
    return _charge(
        begin,
        end,
        rows,
        kind=thing.partition(":")[0],
        source=thing.replace(":", "-"),
        description=description,
        items=items,
        metadata={f"{thing.partition(':')[0]}_id": number},
    )


def _day_charges(day: date, rows: Sequence[UseSum], now: datetime) -> dict[str, Any]:
    used = [use for use in rows if use.day == day]
    begin, end = midnight(day), min(midnight(day) + DAY, now)
    return _charge(begin, end, used, kind="day", description=day.isoformat(), items=_kind_items(used, begin, end))


def _kind_items(rows: Sequence[UseSum], begin: datetime, end: datetime) -> list[dict[str, Any]]:
    kinds = dict.fromkeys(use.kind for use in rows)
    return [
        _charge(
            begin,
            end,
            [use for use in rows if use.kind == kind],
            kind=kind,
            description=_USE_NAMES.get(kind, kind),
            items=[],
        )
        for kind in kinds
    ]


def _charge(
    begin: datetime,
    end: datetime,
    rows: Sequence[UseSum],
    *,
    kind: str,
    description: str,
    items: list[dict[str, Any]],
    source: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "start": begin.timestamp(),
        "end": end.timestamp(),
        "amount": dollars(sum(use.amount_micros for use in rows)),
        "type": kind,
        "source": source,
        "description": description,
        "items": items,
        "metadata": dict(metadata or {}),
    }


_EARNED = {"gpu": "gpu_earn", "storage": "sto_earn", "down": "bwd_earn"}


def earned(uses: Iterable[UseSum]) -> dict[str, float]:
    """A host's part by kind of use; traffic by its direction as the machine sees it."""
    micros = dict.fromkeys(("gpu_earn", "sto_earn", "bwu_earn", "bwd_earn"), 0)
    for use in uses:
        micros[_EARNED.get(use.use, "bwu_earn")] += use.amount_micros
    return {name: dollars(amount) for name, amount in micros.items()}


def epoch_day(day: date) -> int:
    """Days since 1970."""
    return (day - _EPOCH_DAY).days
