"""The history of an instance in a client's words."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from marketplace.domain import instance_states as states
from marketplace.models import InstanceEvent

_KINDS = {
    "rented": "Rented",
    "bid": "Bid changed",
    "bid_refused": "Bid not taken",
    "extended": "Lifetime extended",
    "command": "Command run",
    "copy": "Copy",
    "move": "Move to another machine",
    "erased": "Erased from the machine",
    "key_attached": "SSH key attached",
    "key_detached": "SSH key detached",
}
_OUTBID = {
    "outbid": "Outbid",
    "on_demand": "Interrupted by an on-demand rental",
    "below_floor": "Bid below the host's minimum",
    "gpu_lost": "Lost its GPUs",
    "waiting": "Waiting for its bid to win",
}
_STATES = {states.SCHEDULING: "Waiting for GPUs"}


@dataclass(frozen=True)
class HistoryEntry:
    """One line: when, what, whether the reader did it, and what else there is to say."""

    at: datetime
    title: str
    by_you: bool
    message: str


def history(events: Iterable[InstanceEvent], reader_id: int) -> list[HistoryEntry]:
    """The events as lines, in the order given."""
    return [HistoryEntry(event.at, _title(event), event.actor_id == reader_id, event.message) for event in events]


def _title(event: InstanceEvent) -> str:
    if event.kind != "state":
        return _KINDS.get(event.kind, _words(event.kind))
    if event.to_state == states.OUTBID:
        return _OUTBID.get(event.reason, "Outbid")
    if event.reason == "expired":
        return "Stopped: lifetime over"
    if event.reason == "no_credit":
        return "Stopped: credit used up"
    if event.reason == "unpaid":
        return "Destroyed: credit not renewed"
    return _STATES.get(event.to_state, _words(event.to_state))


def _words(code: str) -> str:
    return code.replace("_", " ").capitalize()
