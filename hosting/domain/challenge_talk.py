"""The talk with a challenge's program: which question comes next, and what it means where one is not answered.

First the program is asked whether it has its devices and their memory: starting a container, and fetching its image,
take what they take. Then it gets the nonce, and the clock runs. Only once it has said what everything comes to it is
told which places it has to show. From then on nothing excuses it: whoever dislikes the places must not get others by
breaking off. Where a guest or a fault of the engine comes between, the next try has the same nonce, has to come to the
same, and has to show the same places.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum

from dlperf.challenge.command import EXIT_FAILED
from hosting.domain import jobs

READY, COMMIT, REVEAL = "ready", "commit", "reveal"
PATIENCE = {READY: timedelta(minutes=3), COMMIT: timedelta(minutes=4), REVEAL: timedelta(minutes=2)}
"""Together less than a measurement may run."""

BROKE_OFF, NO_REPLY, BAD_PROGRAM = "broke_off", "no_reply", "bad_program"
WRONG_IMAGE = "The image has no program that fits this marketplace: its operator has to set DLPERF_IMAGE anew."
_NOT_ITS_FAULT = frozenset({"unsupported", "agent_error", "engine_down", "interrupted", "bad_arguments"})
"""Why an agent could not put a question; anything else that it says means that the program was gone."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question that was put. ``state`` is that of the job; the rest is known once that is over."""

    question: str
    state: str
    reason: str = ""
    exit_code: int | None = None
    words: str = ""
    is_understood: bool = True
    """Whether the answer is of the version that this marketplace speaks."""


class Turn(Enum):
    """What to do next."""

    ASK_READY = READY
    ASK_COMMIT = COMMIT
    ASK_REVEAL = REVEAL
    WAIT = "wait"
    END = "end"
    FAIL = "fail"


@dataclass(frozen=True)
class Next:
    """What to do next; where it failed, a code and a sentence that say why."""

    turn: Turn
    problem: str = ""
    message: str = ""
    may_begin_anew: bool = False
    """It failed before the machine knew anything: another try is harmless, if there was a reason."""


def next_turn(asked: Sequence[Asked]) -> Next:
    """What follows from the questions put so far, in their order."""
    knows_places = any(one.question == REVEAL for one in asked)
    for one in asked:
        failed = _failure(one)
        if failed is not None:
            return replace(failed, problem=BROKE_OFF) if knows_places else replace(failed, may_begin_anew=True)
    if any(one.state in jobs.OPEN for one in asked):
        return Next(Turn.WAIT)
    if not asked:
        return Next(Turn.ASK_READY)
    return Next({READY: Turn.ASK_COMMIT, COMMIT: Turn.ASK_REVEAL}.get(asked[-1].question, Turn.END))


def _failure(one: Asked) -> Next | None:
    if one.state in jobs.OPEN:
        return None
    if one.state == jobs.EXPIRED:
        return Next(Turn.FAIL, NO_REPLY, f"The program did not answer the question “{one.question}” in time.")
    if one.state != jobs.DONE:
        problem = one.reason if one.reason in _NOT_ITS_FAULT else BROKE_OFF
        return Next(Turn.FAIL, problem, one.words or "The question could not be put to the program.")
    if one.exit_code is None:
        return Next(Turn.FAIL, NO_REPLY, f"The program did not answer the question “{one.question}” in time.")
    if one.exit_code == EXIT_FAILED:
        return Next(Turn.FAIL, BROKE_OFF, one.words or "The program broke off.")
    if one.exit_code != 0 or not one.is_understood:
        return Next(Turn.FAIL, BAD_PROGRAM, f"{WRONG_IMAGE} {one.words}".strip())
    return None
