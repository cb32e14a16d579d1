"""The latest measurements of each machine, in Redis for as long as they are worth showing."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from agent.telemetry_protocol import Live
from hosting.gateways.presence import client

KEPT_SECONDS = 90
_KEY = "telemetry:{}"


class Told(msgspec.Struct, frozen=True):
    """What an agent said last, and when that came."""

    session_id: str
    at: datetime
    live: Live


def keep(machine_id: int, told: Told) -> bool:
    """Keep it, unless a later one of its session is here already; whether it was kept."""
    key = _KEY.format(machine_id)
    before = _parsed(client().get(key))
    if before is not None and before.session_id == told.session_id and before.live.number >= told.live.number:
        return False
    client().set(key, msgspec.json.encode(told), ex=KEPT_SECONDS)
    return True


def latest(machine_ids: Iterable[int]) -> dict[int, Told]:
    """By machine id; those that said nothing lately are left out."""
    ids = list(dict.fromkeys(machine_ids))
    if not ids:
        return {}
    values: Sequence[object] = client().mget([_KEY.format(machine_id) for machine_id in ids])
    found = {pk: _parsed(value) for pk, value in zip(ids, values, strict=True)}
    return {pk: told for pk, told in found.items() if told is not None}


def _parsed(value: object) -> Told | None:
    if not isinstance(value, bytes):
        return None
    try:
        return msgspec.json.decode(value, type=Told)
    except msgspec.DecodeError:
        return None  # written by another version
