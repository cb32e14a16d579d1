"""Verification of machines by challenges: whose answers agree, when one is due, what follows.

Everything here is tables and arithmetic; randomness and the time are arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hosting.domain.challenge_talk import BROKE_OFF, NO_REPLY
from hosting.domain.findings import Finding

WRONG_ANSWER, NO_ANSWER, OUTVOTED = "wrong_answer", "no_answer", "outvoted"
WITHOUT_CONSEQUENCES = frozenset({OUTVOTED})
"""Two accounts may belong to one person: that they agree against a third is for staff to look at, and makes the audits
of the one outvoted more frequent. Those audits need no other host."""


@dataclass(frozen=True)
class Answer:
    """What a machine of this owner answered to the same question: a text for each of its GPUs."""

    owner_id: int
    parts: tuple[str, ...]


def vote_finding(mine: Answer, others: Sequence[Answer], known: Sequence[str] | None) -> Finding | None:
    """Whether the answer is another than the one known beforehand, or than that of two other owners who agree.

    Machines of one owner have one voice, and the owner's own machines have none about it. One against one decides
    nothing.
    """
    if known is not None:
        if tuple(known) == mine.parts:
            return None
        return Finding(
            WRONG_ANSWER, f"{_difference(mine.parts, tuple(known))} than the answer that was known beforehand."
        )
    voices: dict[tuple[str, ...], set[int]] = {}
    for other in others:
        if other.owner_id != mine.owner_id:
            voices.setdefault(other.parts, set()).add(other.owner_id)
    agreeing = len(voices.pop(mine.parts, set()))
    against = max(voices.items(), key=lambda item: len(item[1]), default=None)
    if against is None or len(against[1]) < 2 or agreeing >= len(against[1]):
        return None
    evidence = (
        f"{_difference(mine.parts, against[0])} than those of machines of {len(against[1])} other hosts who agree."
    )
    return Finding(OUTVOTED, evidence)


def _difference(mine: tuple[str, ...], right: tuple[str, ...]) -> str:
    wrong = [str(gpu) for gpu, part in enumerate(mine) if gpu >= len(right) or part != right[gpu]]
    return f"The results of GPU {', '.join(wrong) or 'numbers'} are others"


COUNTS_AS_FAILED = ("exited", "run_timeout", "offline", "out_of_memory", BROKE_OFF, NO_REPLY)
"""Why a challenge without an answer speaks against the machine: it had every chance. Other problems may be ours."""
HOSTS_PAUSE = timedelta(minutes=10)
"""Between two challenges that a host asks for out of turn."""
VERIFIED_FOR = timedelta(days=30)
"""Since the last challenge by rule that was passed. Whoever is free for a moment is challenged in it."""
LAPSES_AFTER = 4
"""So many challenges in a row that came to nothing, or left out GPUs, and nobody knows any more what a machine is."""
PAUSE = timedelta(hours=24)
LEAST_PAUSE = timedelta(hours=4)
ANOMALIES_WITHIN = timedelta(days=30)
RETRY_AFTER = timedelta(hours=6)


@dataclass(frozen=True, kw_only=True)
class History:
    """What is known of a machine's challenges. ``passed``: of the latest that were judged, the last one last.

    Those that its host asked for are not among them. ``judged_at`` is when the latest was, ``undecided_at`` when the
    latest came to nothing, ``hardware`` what was challenged, ``anomalies`` how many findings (those in shadow too),
    failed challenges and remarkable benchmarks there were in the last 30 days.
    """

    passed: Sequence[bool] = ()
    judged_at: datetime | None = None
    undecided_at: datetime | None = None
    hardware: str = ""
    anomalies: int = 0


def audit_pause(anomalies: int, chance: float) -> timedelta:
    """From one challenge to the next: a day on average, divided by 1 + anomalies, at least 4 hours.

    ``chance``, 0..1, spreads it evenly between half and one and a half times that, so that nobody knows the moment.
    """
    return max(PAUSE / (1 + anomalies), LEAST_PAUSE) * (0.5 + chance)


def due_reason(
    past: History,
    *,
    hardware: str,
    listed_at: datetime | None,
    started_at: datetime | None,
    now: datetime,
    chance: float,
) -> str:
    """Why a machine should be challenged now: "listing", "retest", "hardware", "restart", "daily"; "" when not.

    ``listed_at`` is None for one that is not on the market, which is not challenged; ``started_at`` is when its agent,
    which begins with the computer, began.
    """
    if listed_at is None:
        return ""
    if past.undecided_at is not None and now - past.undecided_at < RETRY_AFTER:
        return ""
    if past.judged_at is None or listed_at > past.judged_at:
        return "listing"
    if past.passed and not past.passed[-1]:
        return "retest"
    if hardware != past.hardware:
        return "hardware"
    if started_at is not None and started_at > past.judged_at:
        return "restart"
    return "daily" if now - past.judged_at >= audit_pause(past.anomalies, chance) else ""


def has_lapsed(since_whole_pass: int) -> bool:
    """Whether a verified machine is so no more: that many challenges in a row, since all its GPUs passed one, came to
    nothing or left out some of them. The next that they all pass verifies it again."""
    return since_whole_pass >= LAPSES_AFTER


FAILURES_SHOWN = 3


def has_failed(passed: Sequence[bool]) -> bool:
    """Whether two challenges in a row were failed, or three of the last ten: one alone may be an accident, and is
    followed by a retest. Who is right in most places only passes most."""
    return passed[-2:].count(False) == 2 or passed[-10:].count(False) >= 3


CASE_OPEN, CASE_APPEALED, CASE_UPHELD, CASE_OVERTURNED = "open", "appealed", "upheld", "overturned"
CASE_TRANSITIONS: dict[str, frozenset[str]] = {
    CASE_OPEN: frozenset({CASE_APPEALED, CASE_UPHELD, CASE_OVERTURNED}),
    CASE_APPEALED: frozenset({CASE_UPHELD, CASE_OVERTURNED}),
    CASE_UPHELD: frozenset(),
    CASE_OVERTURNED: frozenset(),
}
"""The host appeals, staff decide."""
CASES_UNDECIDED = (CASE_OPEN, CASE_APPEALED)
