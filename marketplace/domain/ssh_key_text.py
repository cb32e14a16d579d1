"""Finds out what a pasted text is, before anyone tries to parse it as an SSH key, and says how to fix it."""

import base64
import binascii
import re
from dataclasses import dataclass

KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
WHOLE_KEY = (
    'Copy the whole line that "cat ~/.ssh/id_ed25519.pub" (or id_rsa.pub) prints, from its first word, like '
    '"ssh-ed25519" or "ssh-rsa", to the "user@host" at its end.'
)
MAX_KEY_CHARS = 16_384


class BadKeyTextError(ValueError):
    """Not a usable public key; the message says why and what to do."""


@dataclass(frozen=True)
class KeyParts:
    """The three parts of an OpenSSH public key line; ``body`` is base64 text, ``blob`` its bytes."""

    key_type: str
    body: str
    blob: bytes
    comment: str

    def line(self) -> str:
        """As one line of authorized_keys."""
        return " ".join(part for part in (self.key_type, self.body, self.comment) if part)


def split_key(text: str) -> KeyParts:
    """The parts of a pasted public key. Line breaks that a terminal or mailer put into the body are mended.

    Raises BadKeyTextError with the reason and the fix.
    """
    stripped = text.strip().strip("\ufeff").strip()
    _refuse_other_things(stripped)
    key_type, _, rest = stripped.partition(" ")
    if key_type not in KEY_TYPES:
        raise BadKeyTextError(_unknown_type(key_type))
    body, comment = _body_and_comment(rest)
    return KeyParts(key_type, body, _decoded(key_type, body), comment)


def _refuse_other_things(text: str) -> None:
    if not text:
        raise BadKeyTextError("The box is empty. " + WHOLE_KEY)
    if len(text) > MAX_KEY_CHARS:
        raise BadKeyTextError("This is too long to be one public key. Paste one key at a time. " + WHOLE_KEY)
    if "PRIVATE KEY" in text:
        raise BadKeyTextError(
            "This is a private key: never give it to anyone. Paste the public key instead, the file that ends in .pub. "
            + WHOLE_KEY
        )
    if "BEGIN SSH2 PUBLIC KEY" in text or "BEGIN PUBLIC KEY" in text or "BEGIN RSA PUBLIC KEY" in text:
        raise BadKeyTextError(
            "This key is in another program's format. Convert it with: ssh-keygen -i -f KEYFILE (add -m PKCS8 for "
            '"BEGIN PUBLIC KEY"), and paste the line it prints.'
        )
    if text.endswith(".pub") and " " not in text:
        raise BadKeyTextError(
            f"This is the name of a key file, not the key in it. Run: cat {text} - and paste what it prints."
        )
    if len(re.findall(r"(?:^|\n)\s*(?:ssh-|ecdsa-|sk-)", text)) > 1:
        raise BadKeyTextError("These are several keys. Paste one key at a time.")


def _unknown_type(first_word: str) -> str:
    if first_word == "ssh-dss":
        return (
            "DSA keys (ssh-dss) are too weak and OpenSSH no longer accepts them. Make a new one: ssh-keygen -t ed25519"
        )
    if first_word.startswith("AAAA"):
        return (
            f"The beginning of the key is missing: it starts with {first_word[:12]}… instead of its type. " + WHOLE_KEY
        )
    if first_word.startswith(("SHA256:", "MD5:")):
        return "This is the fingerprint of a key, not the key. " + WHOLE_KEY
    shown = first_word[:40]
    return (
        f'A public key begins with its type, like "ssh-ed25519" or "ssh-rsa"; this begins with "{shown}". ' + WHOLE_KEY
    )


def _body_and_comment(rest: str) -> tuple[str, str]:
    """The base64 body and the comment. A body that was wrapped over lines is joined."""
    words = rest.split("\n")
    lines = [line.strip() for line in words if line.strip()]
    if not lines:
        raise BadKeyTextError("The key ends after its type: the long part is missing. " + WHOLE_KEY)
    body, _, comment = lines[0].partition(" ")
    for line in lines[1:]:
        piece, _, tail = line.partition(" ")
        if comment or not re.fullmatch(r"[A-Za-z0-9+/=]+", piece):
            raise BadKeyTextError("There is more text after the key. Paste one key and nothing else. " + WHOLE_KEY)
        body, comment = body + piece, tail
    return body, " ".join(comment.split())[:255]


def _decoded(key_type: str, body: str) -> bytes:
    truncated = "The key is cut off: its long part is not complete. " + WHOLE_KEY
    try:
        blob = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        bad = re.search(r"[^A-Za-z0-9+/=]", body)
        if bad:
            raise BadKeyTextError(f'The key contains "{bad.group()}", which no key does. ' + WHOLE_KEY) from None
        raise BadKeyTextError(truncated) from None
    if len(blob) < 4:
        raise BadKeyTextError(truncated)
    length = int.from_bytes(blob[:4], "big")
    inner = blob[4 : 4 + length].decode("ascii", "replace")
    if inner != key_type:
        raise BadKeyTextError(f'The key says "{key_type}" but contains something else. ' + WHOLE_KEY)
    return blob
