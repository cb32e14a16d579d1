"""Reads SSH public keys, and makes key pairs."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)
from paramiko.pkey import PublicBlob

from marketplace.domain.ssh_key_text import WHOLE_KEY, BadKeyTextError, KeyParts

MIN_RSA_BITS = 2048


def check_key(parts: KeyParts) -> None:
    """Raises BadKeyTextError unless the key is complete and strong enough for OpenSSH."""
    try:
        PublicBlob.from_string(parts.line())
        key = load_ssh_public_key(f"{parts.key_type} {parts.body}".encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKeyTextError("The key is cut off or damaged: its long part is not complete. " + WHOLE_KEY) from error
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise BadKeyTextError(
            f"This RSA key has {key.key_size} bits; at least {MIN_RSA_BITS} are needed. "
            "Make a new one: ssh-keygen -t ed25519"
        )


def new_key_pair() -> tuple[str, str]:
    """A fresh pair: the private key as OpenSSH's programs read it, and the public one as a line without a comment."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
