"""What the relay's ports, names and keys are."""

import base64
import binascii
import re
from collections.abc import Collection
from typing import NamedTuple

_KEY_TYPE = "ssh-ed25519"
_KEY_BYTES = 51
"""Of an ed25519 key in SSH's encoding: a length and the type's name, a length and 32 bytes."""
_USER = re.compile(r"machine-([1-9][0-9]{0,17})")


class PortRange(NamedTuple):
    """Both ends belong to it."""

    first: int
    last: int

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last


def parse_port_range(text: str) -> PortRange | None:
    """ "10000-31999" as a range with room for a pair; None for anything else."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", text)
    if match is None:
        return None
    found = PortRange(int(match[1]), int(match[2]))
    return found if 1 <= found.first <= found.last <= 65535 and pair_count(found) > 0 else None


def pair_count(ports: PortRange) -> int:
    """How many pairs of an even port and the next one the range holds."""
    return max(0, (ports.last + 1 - _first_even(ports)) // 2)


def pick_pair(ports: PortRange, turn: int, taken: Collection[int]) -> int | None:
    """The even port of a pair that is not taken; None when all are.

    ``turn`` counts up with each lease, so that the pairs go round, and one that was given back comes again last.
    """
    count = pair_count(ports)
    used = set(taken)
    for step in range(count):
        even = _first_even(ports) + 2 * ((turn + step) % count)
        if even not in used and even + 1 not in used:
            return even
    return None


def _first_even(ports: PortRange) -> int:
    return ports.first + ports.first % 2


def user_name(machine_id: int) -> str:
    """What the machine is called on the relay."""
    return f"machine-{machine_id}"


def machine_of(user: str) -> int | None:
    """The machine of this name; None for any other name."""
    match = _USER.fullmatch(user)
    return int(match[1]) if match else None


def normal_key(text: str) -> str | None:
    """A public ed25519 key as "ssh-ed25519 AAAA...", without its comment; None for whatever is none."""
    parts = text.split()
    if len(text) > 400 or len(parts) < 2 or parts[0] != _KEY_TYPE:
        return None
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    head = len(_KEY_TYPE).to_bytes(4, "big") + _KEY_TYPE.encode() + (32).to_bytes(4, "big")
    if len(blob) != _KEY_BYTES or not blob.startswith(head):
        return None
    return f"{_KEY_TYPE} {base64.b64encode(blob).decode()}"
