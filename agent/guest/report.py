"""What a container's start script tells of its run, in files of ``/.spotyard/report``."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.printable import printable

DIRECTORY = "/.spotyard/report"
MOST_BYTES = 32 * 1024
"""Of all its files; more was not written by the script."""
MOST_HOST_KEYS = 8
_MOST_OUTPUT_CHARS = 2000
_KEY_TYPE = re.compile(r"[a-z0-9@.-]{1,60}")


@dataclass(frozen=True)
class GuestReport:
    """All as long as nothing is known: None and empty."""

    host_keys: list[str] | None = None
    """Types and fingerprints, "ssh-ed25519 SHA256:…"."""
    onstart_runs: bool = False
    onstart_exit_code: int | None = None
    onstart_output: str = ""


def parse(files: Mapping[str, bytes]) -> GuestReport:
    """What the files say; the client is root in there, so they may say anything at all."""
    keys = [_fingerprint(line) for line in files.get("host_keys", b"").splitlines()[:MOST_HOST_KEYS]]
    known = [key for key in keys if key]
    first, _, rest = files.get("onstart", b"").partition(b"\n")
    code = int(first) if first.isdigit() and len(first) <= 3 else None
    output = "\n".join(printable(line) for line in rest.decode(errors="replace").splitlines()) if code else ""
    return GuestReport(known or None, first == b"runs", code, output[-_MOST_OUTPUT_CHARS:].strip("\n"))


def _fingerprint(line: bytes) -> str:
    """As ``ssh`` shows it when it asks whether to go on; empty for what is no public key."""
    key_type, _, body = line.decode("ascii", "replace").partition(" ")
    try:
        blob = base64.b64decode(body.partition(" ")[0], validate=True)
    except ValueError:
        return ""
    if not blob or not _KEY_TYPE.fullmatch(key_type):
        return ""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"{key_type} SHA256:{digest}"
