"""Refusals in the form in which PayPal gives them."""

import secrets
from typing import Any


class PayPalError(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, name: str, message: str, details: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"name": name, "message": message, "debug_id": secrets.token_hex(7)}
        if details is not None:
            self.body["details"] = details


def unfit(field: str, issue: str) -> PayPalError:
    """A field of the request is not as documented."""
    details = [{"field": field, "location": "body", "issue": issue}]
    return PayPalError(400, "VALIDATION_ERROR", "Invalid request - see details", details)


def unknown(what: str) -> PayPalError:
    """There is nothing by this id."""
    return PayPalError(404, "RESOURCE_NOT_FOUND", f"The specified resource does not exist: {what}.")
