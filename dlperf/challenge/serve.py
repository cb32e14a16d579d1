"""Speaks with whoever asks over a socket in the container: one line of JSON with a question, one with the answer.

    {"do": "ready"}                                                the devices are there and have their memory
    {"do": "commit", "nonce": "...", "tag": "..."}                 compute everything; what it comes to
    {"do": "reveal", "gpu": 0, "step": 3, "part": 1, "leaf": 7}    show that place of it

Places are asked for after all is computed, so nobody can know before which ones will be. What can't be answered is
``{"error": "a sentence"}``.
"""

import base64
import hashlib
import json
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlperf.challenge import CHALLENGE_VERSION
from dlperf.challenge.command import SOCKET
from dlperf.challenge.plan import SHELF_LEAVES, WORD_BYTES, Place, leaves_root, shelf_hashes
from dlperf.challenge.prove import Session

IDLE_SECONDS = 900.0
"""Who isn't asked anything for so long has been forgotten."""
MOST_QUESTION_BYTES = 4096
_LEVEL = 6


class BrokenError(Exception):
    """The computation failed; there will be no answer."""


def committed(session: Session, nonce: bytes, tag: bytes) -> dict[str, Any]:
    """What the session comes to, as JSON values."""
    return {
        "version": CHALLENGE_VERSION,
        "nonce": hashlib.sha256(nonce).hexdigest(),
        "device": session.kind,
        "gpus": [{"root": root.hex(), "common": common.hex()} for root, common in session.commit(nonce, tag)],
    }


def revealed(session: Session, place: Place) -> dict[str, Any]:
    """The place, and whatever leads from it to what was told before, as JSON values."""
    states, leaves, entries = session.reveal(place)
    asked = leaves[place.part]
    first = place.leaf // SHELF_LEAVES * SHELF_LEAVES * WORD_BYTES
    return {
        "version": CHALLENGE_VERSION,
        "states": _packed(b"".join(states)),
        "parts": [leaves_root(one, WORD_BYTES).hex() for one in leaves],
        "shelves": _packed(b"".join(shelf_hashes(asked, WORD_BYTES))),
        "shelf": _packed(asked[first : first + SHELF_LEAVES * WORD_BYTES]),
        "entries": _packed(entries),
    }


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, _LEVEL)).decode()


def answer(session: Session, line: bytes) -> dict[str, Any]:
    """The answer to one question. Raises BrokenError where there will be none to any."""
    try:
        asked = json.loads(line)
        what = asked["do"]
        if what == "ready":
            return {"version": CHALLENGE_VERSION, "device": session.kind, "gpus": len(session.provers)}
        if what == "commit":
            nonce, tag = bytes.fromhex(asked["nonce"]), bytes.fromhex(asked["tag"])
            return _computed(lambda: committed(session, nonce, tag))
        place = Place(*(int(asked[name]) for name in ("gpu", "step", "part", "leaf")))
        return _computed(lambda: revealed(session, place))
    except (ValueError, KeyError, TypeError) as error:
        return {"error": f"This can't be answered: {error}"}


def _computed(compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        words = str(error).strip().splitlines()
        raise BrokenError(words[0] if words else type(error).__name__) from error


def serve(session: Session, place: str = SOCKET) -> str:
    """Answer until nobody asks any more; then, or where the computation failed, say why it is over."""
    Path(place).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(place)
        door.listen(64)
        door.settimeout(IDLE_SECONDS)
        while True:
            try:
                caller, _ = door.accept()
            except TimeoutError:
                return ""
            with caller:
                problem = _attend(session, caller)
            if problem:
                return problem


def _attend(session: Session, caller: socket.socket) -> str:
    """Answer one caller; why there will be no more answers, where that is so. One that leaves is no problem."""
    caller.settimeout(30)
    try:
        with caller.makefile("rb") as questions:
            line = questions.readline(MOST_QUESTION_BYTES)
        try:
            said, problem = answer(session, line), ""
        except BrokenError as error:
            said, problem = {"error": str(error)}, str(error)
        caller.settimeout(300)
        caller.sendall(json.dumps(said).encode() + b"\n")
    except OSError:
        return ""
    return problem
