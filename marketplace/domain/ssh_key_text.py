"""Finds out what a pasted text is, before anyone tries to parse it as an SSH key, and says how to fix it."""

import base64
import binascii
import re
import unicodedata
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
MAX_COMMENT_CHARS = 255
_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb"
_LENGTH_BYTES = 4
_PUTTYGEN = (
    'In PuTTYgen, load your key and copy the whole box "Public key for pasting into OpenSSH authorized_keys file".'
)
_OTHER_THINGS = [
    (
        r"PuTTY-User-Key-File",
        f"This is PuTTY's private key (.ppk): never give it to anyone. Paste the public key instead. {_PUTTYGEN}",
    ),
    (
        r"PRIVATE KEY",
        "This is a private key: never give it to anyone. Paste the public key instead, the file that ends in .pub. "
        + WHOLE_KEY,
    ),
    (
        r"BEGIN (?:SSH2 |RSA |EC )?PUBLIC KEY",
        "This key is in another program's format. Convert it with: ssh-keygen -i -f KEYFILE (add -m PKCS8 for "
        f'"BEGIN PUBLIC KEY"), and paste the line it prints. {_PUTTYGEN}',
    ),
    (
        r"BEGIN (?:PGP|CERTIFICATE|OPENSSH SIG|SSH SIG)",
        "This is not an SSH key: other keys and certificates can't log in here. " + WHOLE_KEY,
    ),
    (
        r"</?(?:p|div|span|br|pre|code|a|td|li|b|i|font|html|body)(?:\s[^<>]*)?/?>|&(?:#\d+|[a-z]+);",
        "This is copied with the HTML of a page or mail around it. Copy the key from the file itself. " + WHOLE_KEY,
    ),
    (
        r"ssh-keygen -t|^ssh-keygen\b",
        "This is the command that makes a key. Run it on your computer first. " + WHOLE_KEY,
    ),
]
"""What else people paste, in the order in which it is looked for: what it looks like, and what to do."""


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
    """The parts of a pasted public key. What terminals, mailers and phones do to a text is mended: line breaks and
    spaces in the body, quotes around it, invisible characters, a capital letter at its beginning.

    Raises BadKeyTextError with the reason and the fix.
    """
    cleaned = _visible(text).strip().strip(_QUOTES).strip()
    _refuse_other_things(cleaned)
    words = cleaned.split()
    key_type = words[0] if words[0] in KEY_TYPES else words[0].lower()
    if key_type not in KEY_TYPES:
        raise BadKeyTextError(_unknown_type(words))
    body, comment = _body_and_comment(words[1:])
    return KeyParts(key_type, body, _decoded(key_type, body), comment)


def _visible(text: str) -> str:
    """Without characters that nobody sees: byte-order marks, zero-width and soft-hyphen ones; all spaces alike."""
    kept = (
        " " if unicodedata.category(letter) == "Zs" else letter
        for letter in text
        if letter in "\n\r\t" or not unicodedata.category(letter).startswith("C")
    )
    return "".join(kept)


def _refuse_other_things(text: str) -> None:
    if not text:
        raise BadKeyTextError("The box is empty. " + WHOLE_KEY)
    if len(text) > MAX_KEY_CHARS:
        raise BadKeyTextError("This is too long to be one public key. Paste one key at a time. " + WHOLE_KEY)
    for pattern, message in _OTHER_THINGS:
        if re.search(pattern, text):
            raise BadKeyTextError(message)
    if _looks_like_a_file(text):
        raise BadKeyTextError(
            f"This is the name of a key file, not the key in it. Run: cat {text[:200]} - and paste what it prints."
            if text.endswith(".pub")
            else f"This is the name of a file, not a key. Run: cat {text[:200]}.pub - and paste what it prints."
        )
    if len(re.findall(r"(?:^|\s)(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+\s+AAAA", text)) > 1:
        raise BadKeyTextError("These are several keys. Paste one key at a time.")


def _looks_like_a_file(text: str) -> bool:
    one_word = " " not in text and "\n" not in text
    return bool(re.match(r"(?:~|/|\.{1,2}/|[A-Za-z]:\\).*\S$", text) and "AAAA" not in text) or (
        one_word and text.endswith(".pub")
    )


def _unknown_type(words: list[str]) -> str:
    first_word = words[0]
    if first_word == "ssh-dss":
        return (
            "DSA keys (ssh-dss) are too weak and OpenSSH no longer accepts them. Make a new one: ssh-keygen -t ed25519"
        )
    if "-cert-v01@openssh.com" in first_word:
        return (
            "This is a certificate, not a key. Paste the public key it was made for: the file without -cert in its "
            "name. " + WHOLE_KEY
        )
    if first_word.startswith("AAAA"):
        return (
            f"The beginning of the key is missing: it starts with {first_word[:12]}… instead of its type. " + WHOLE_KEY
        )
    if any(word.startswith(("SHA256:", "MD5:")) for word in words[:2]):
        return "This is the fingerprint of a key, not the key. " + WHOLE_KEY
    if any(word in KEY_TYPES for word in words[1:]):
        before = " ".join(words[: next(index for index, word in enumerate(words) if word in KEY_TYPES)])
        return (
            f'There is something before the key: "{before[:60]}". Options of an authorized_keys file, host names and '
            "commands don't belong here: leave that out and begin with the type. " + WHOLE_KEY
        )
    if re.fullmatch(r"[^\s@]+@[^\s@]+", " ".join(words)):
        return f'"{first_word[:40]}" is only the end of a key: the type and the long part are missing. ' + WHOLE_KEY
    shown = first_word[:40]
    return (
        f'A public key begins with its type, like "ssh-ed25519" or "ssh-rsa"; this begins with "{shown}". ' + WHOLE_KEY
    )


def _body_and_comment(words: list[str]) -> tuple[str, str]:
    """The base64 body and the comment. A body that was broken into several words is joined until it is complete."""
    if not words:
        raise BadKeyTextError("The key ends after its type: the long part is missing. " + WHOLE_KEY)
    if re.search(r"…|\.\.\.", words[0]):
        raise BadKeyTextError("The key is shortened with dots, as some programs show it. " + WHOLE_KEY)
    body = ""
    for number, word in enumerate(words, 1):
        if not re.fullmatch(r"[A-Za-z0-9+/=]+", word):
            break
        body += word
        if _is_complete(body):
            return body, " ".join(words[number:])[:MAX_COMMENT_CHARS]
    return words[0], " ".join(words[1:])[:MAX_COMMENT_CHARS]


def _is_complete(body: str) -> bool:
    """Whether the body is base64 of several strings, each with its length before it, and nothing besides."""
    try:
        blob = base64.b64decode(body, validate=True)
    except ValueError:
        return False
    at = parts = 0
    while at + _LENGTH_BYTES <= len(blob):
        at += _LENGTH_BYTES + int.from_bytes(blob[at : at + _LENGTH_BYTES], "big")
        parts += 1
    return at == len(blob) and parts > 1


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
