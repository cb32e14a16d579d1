"""Texts from outside, made fit to store and show."""

import unicodedata

_KEPT = "\n\t"


def clean(text: str, limit: int | None = None) -> str:
    """The text without control, formatting and surrogate characters, at most ``limit`` characters of it.

    PostgreSQL stores no NUL, and the invisible rest serves only to make a text look like another one.
    """
    kept = "".join(ch for ch in text if ch in _KEPT or not unicodedata.category(ch).startswith("C"))
    return kept[:limit]
