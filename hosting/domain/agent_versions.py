"""Which agents the server speaks with, and which machines get a new version of the agent first. No Django in here."""

import hashlib
from typing import Literal

Verdict = Literal["spoken", "too_old", "too_new"]
BUCKETS = 100


def verdict(told: int, current: int) -> Verdict:
    """Of a protocol version that an agent speaks; ``current`` is the server's. That one and the one before count."""
    if told > current:
        return "too_new"
    return "spoken" if told in (current, current - 1) and told > 0 else "too_old"


def bucket(machine_id: int, version: str) -> int:
    """0..99: where the machine stands in the line for this version. Another version, another line."""
    return int.from_bytes(hashlib.sha256(f"{version}/{machine_id}".encode()).digest()[:8]) % BUCKETS


def is_offered(machine_id: int, version: str, percent: int, *, paused: bool) -> bool:
    """Whether this machine is told of the version now. Who was told of it at a lower percentage still is."""
    return not paused and bucket(machine_id, version) < percent
