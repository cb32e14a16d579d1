"""Hashes of machine and install secrets. The secrets are long and random, so a plain fast hash is enough."""

import hashlib

INSTALL_TOKEN_PREFIX = "syi_"  # noqa: S105  # a prefix that tells what a leaked string is, not a secret
CREDENTIAL_PREFIX = "sym_"


def secret_hash(raw: str) -> str:
    """Hex SHA-256 of a secret."""
    return hashlib.sha256(raw.encode()).hexdigest()
