"""Secrets that have to be kept for a while: encrypted with a key that follows from the project's own secret."""

import base64
import hashlib
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

_PURPOSE = b"spotyard.sealed:"


def seal(secrets: dict[str, Any]) -> str:
    """The secrets as text that tells nothing to who has only the database."""
    return _cipher().encrypt(msgspec.json.encode(secrets)).decode()


def unseal(sealed: str) -> dict[str, Any]:
    """What was sealed; nothing of what can't be opened any more, because the project's secret has changed."""
    if not sealed:
        return {}
    try:
        found: dict[str, Any] = msgspec.json.decode(_cipher().decrypt(sealed.encode()))
    except InvalidToken:
        return {}
    return found


def _cipher() -> Fernet:
    digest = hashlib.sha256(_PURPOSE + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
