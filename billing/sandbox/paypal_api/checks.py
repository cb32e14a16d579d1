"""Requests for payouts against the documented fields, formats and lengths.

The published OpenAPI file lets amounts such as "9,87x" and made-up kinds of recipients pass: the documentation's own
words are checked here.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from billing.sandbox.paypal_api.errors import unfit

RECIPIENT_TYPES = ("EMAIL", "PHONE", "PAYPAL_ID", "USER_HANDLE")
WALLETS = ("PAYPAL", "VENMO", "RECIPIENT_SELECTED")
# Places after the point, by ISO 4217; the currencies that PayPal pays out in.
CURRENCIES = {"USD": 2, "EUR": 2, "GBP": 2, "CAD": 2, "AUD": 2, "CHF": 2, "SEK": 2, "NOK": 2, "DKK": 2, "JPY": 0}
LARGEST_BATCH = 15_000
LARGEST_CENTS = 6_000_000
"""$60,000 for one item; PayPal's own limit for most accounts, in hundredths."""
_AMOUNT = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,3})?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|[^@\s]+@localhost")
_PAYPAL_ID = re.compile(r"[2-9A-HJ-NP-Z]{13}")

Check = Callable[[Any, str], None]


def check_batch(body: Any) -> None:
    """Raises PayPalError naming the field that is not as documented."""
    fields = _object(body, "body", {"sender_batch_header": _header, "items": _items})
    for name in ("sender_batch_header", "items"):
        if name not in fields:
            raise unfit(name, "Required field is missing")


def _header(value: Any, path: str) -> None:
    checks = {
        "sender_batch_id": _text(1, 256),
        "recipient_type": _one_of(RECIPIENT_TYPES),
        "email_subject": _text(0, 255),
        "email_message": _text(0, 1000),
        "note": _text(0, 165),
    }
    _object(value, path, checks)


def _items(value: Any, path: str) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= LARGEST_BATCH:
        raise unfit(path, f"Must be a list of 1 to {LARGEST_BATCH} items")
    for index, item in enumerate(value):
        _item(item, f"{path}[{index}]")


def _item(value: Any, path: str) -> None:
    checks = {
        "recipient_type": _one_of(RECIPIENT_TYPES),
        "amount": _amount,
        "note": _text(0, 4000),
        "receiver": _text(1, 127),
        "sender_item_id": _text(1, 63),
        "recipient_wallet": _one_of(WALLETS),
        "purpose": _text(1, 63),
        "notification_language": _text(2, 10),
        "alternate_notification_method": lambda *_: None,
    }
    fields = _object(value, path, checks)
    for name in ("amount", "receiver"):
        if name not in fields:
            raise unfit(f"{path}.{name}", "Required field is missing")
    _receiver(str(fields.get("recipient_type", "EMAIL")), fields["receiver"], f"{path}.receiver")


def _receiver(kind: str, receiver: str, path: str) -> None:
    pattern = {"EMAIL": _EMAIL, "PAYPAL_ID": _PAYPAL_ID}.get(kind)
    if pattern is not None and pattern.fullmatch(receiver) is None:
        raise unfit(path, f"Receiver is invalid or does not match with type {kind}")


def _amount(value: Any, path: str) -> None:
    fields = _object(value, path, {"value": _text(1, 32), "currency": _one_of(CURRENCIES)})
    if set(fields) != {"value", "currency"}:
        raise unfit(path, "Required field is missing")
    places = CURRENCIES[fields["currency"]]
    whole, _, part = str(fields["value"]).partition(".")
    if _AMOUNT.fullmatch(fields["value"]) is None or len(part) > places:
        raise unfit(f"{path}.value", "Currency amount is not in the right format")
    if not 0 < int(whole) * 100 + int(part.ljust(2, "0") or 0) <= LARGEST_CENTS:
        raise unfit(f"{path}.value", "Amount is zero or above the limit")


def _object(value: Any, path: str, checks: Mapping[str, Check]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise unfit(path, "Must be an object")
    for name, inner in value.items():
        at = name if path == "body" else f"{path}.{name}"
        if name not in checks:
            raise unfit(at, "Unknown field")
        checks[name](inner, at)
    return value


def _text(least: int, most: int) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise unfit(path, f"Must be text of {least} to {most} characters")

    return check


def _one_of(names: Any) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, str) or value not in names:
            raise unfit(path, f"Must be one of {', '.join(names)}")

    return check
