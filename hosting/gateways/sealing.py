"""Encryption of what we must be able to give on, such as logins to registries, as it lies in the database."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.crypto import salted_hmac


class SealError(Exception):
    """A sealed text can't be read: none of the keys that there are made it."""


def seal(text: str) -> str:
    """The text, encrypted by the newest key."""
    return _box().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """The text again. Raises SealError."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealError from error


def reseal(sealed: str) -> str:
    """The same text under the newest key. Raises SealError."""
    try:
        return _box().rotate(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealError from error


def mark_of(secret: str) -> str:
    """Tells equal secrets from others, and nothing else without our key."""
    return salted_hmac("hosting.sealing.mark", secret, algorithm="sha256").hexdigest()


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.FIELD_ENCRYPTION_KEYS])
