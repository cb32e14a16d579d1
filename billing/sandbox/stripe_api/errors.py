"""Refusals in the form in which Stripe gives them."""

from typing import Any


class StripeError(Exception):
    """An answer that is not 2xx. ``kept``: the same idempotency key gets it again, because the request was begun."""

    def __init__(self, status: int, kind: str, message: str, *, kept: bool = False, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.kept = kept
        self.body: dict[str, Any] = {"error": {"type": kind, "message": message, **details}}


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> StripeError:
    """The request is not one that Stripe takes."""
    details: dict[str, Any] = {"param": param, "code": code}
    given = {name: value for name, value in details.items() if value is not None}
    return StripeError(status, "invalid_request_error", message, **given)


def missing(kind: str, object_id: str, param: str = "id") -> StripeError:
    """Nothing has this id."""
    return invalid(f"No such {kind}: '{object_id}'", param=param, code="resource_missing", status=404)


def card_error(code: str, decline_code: str | None, message: str, **details: Any) -> StripeError:
    """The card was refused: a result like any other, kept for the idempotency key."""
    if decline_code is not None:
        details["decline_code"] = decline_code
    return StripeError(402, "card_error", message, kept=True, code=code, **details)
