"""Secrets that a job carries for a while, as they lie in the database."""

from typing import Any

import msgspec

from hosting.gateways.sealing import SealError, seal, unseal


def seal_secrets(secrets: dict[str, Any]) -> str:
    """The secrets as text that tells nothing to who has only the database."""
    return seal(msgspec.json.encode(secrets).decode())


def unseal_secrets(sealed: str) -> dict[str, Any]:
    """What was sealed; nothing of what can't be opened any more, because its key is gone."""
    if not sealed:
        return {}
    try:
        found: dict[str, Any] = msgspec.json.decode(unseal(sealed))
    except SealError:
        return {}
    return found
