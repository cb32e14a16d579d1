"""Tokens, and "Log in with PayPal": an account's id stays the same for an address."""

import hashlib
import secrets
from typing import Any

from billing.sandbox.paypal_api.errors import PayPalError
from billing.sandbox.store import Object, Store

TOKEN_SECONDS = 32_400
_ID_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


def payer_id(email: str) -> str:
    """The account id behind an address."""
    digest = hashlib.sha256(email.encode()).digest()
    return "".join(_ID_LETTERS[byte % len(_ID_LETTERS)] for byte in digest[:13])


def code_make(store: Store, email: str, *, verified: bool) -> str:
    """A code that is good once for learning whose account this is."""
    code = f"C{secrets.token_hex(16)}"
    store.put({"id": code, "object": "paypal_code", "email": email, "verified": verified})
    return code


def token_make(store: Store, form: dict[str, Any], now: int) -> Object:
    """The answer of ``/v1/oauth2/token``. Raises PayPalError."""
    grant = form.get("grant_type")
    person: Object | None = None
    if grant == "authorization_code":
        person = store.get(form.get("code", ""))
        if person is None or person["object"] != "paypal_code":
            raise oauth_error(400, "invalid_grant", "Authorization code is invalid or was used before")
        store.delete(person["id"])
    elif grant != "client_credentials":
        raise oauth_error(400, "unsupported_grant_type", "Grant Type is NULL or unknown")
    token = f"A21AA{secrets.token_hex(24)}"
    store.put({"id": token, "object": "paypal_token", "until": now + TOKEN_SECONDS, "person": person})
    scope = "openid email" if person else "https://uri.paypal.com/services/payments/payment"
    return {"scope": scope, "access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}


def person_of(token: Object) -> Object:
    """The answer of ``userinfo``. Raises PayPalError for a token that nobody signed in for."""
    person = token["person"]
    if person is None:
        raise PayPalError(403, "NOT_AUTHORIZED", "Authorization failed due to insufficient permissions.")
    ident = payer_id(person["email"])
    return {
        "user_id": f"https://www.paypal.com/webapps/auth/identity/user/{ident}",
        "payer_id": ident,
        "name": person["email"].partition("@")[0],
        "verified_account": "true" if person["verified"] else "false",
        "emails": [{"value": person["email"], "primary": True, "confirmed": True}],
    }


def oauth_error(status: int, error: str, description: str) -> PayPalError:
    """OAuth has a form of its own."""
    refusal = PayPalError(status, error, description)
    refusal.body = {"error": error, "error_description": description}
    return refusal
