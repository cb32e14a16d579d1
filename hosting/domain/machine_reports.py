"""What clients report of machines, and what may become of a report."""

KINDS = {
    "start": "Instances do not start",
    "gpu": "GPU errors, or GPUs missing",
    "slow": "Slower than promised",
    "network": "Slow or broken network",
    "disk": "Disk errors, or data lost",
    "connection": "Can't be reached by SSH or Jupyter",
    "other": "Something else",
}
"""Every kind by its code, in words."""

OPEN = "open"
SOLVED = "solved"  # the host says so
WITHDRAWN = "withdrawn"  # whoever reported it says so
DISMISSED = "dismissed"  # staff say that there was nothing to it

TRANSITIONS: dict[str, frozenset[str]] = {
    OPEN: frozenset({SOLVED, WITHDRAWN, DISMISSED}),
    SOLVED: frozenset({OPEN, WITHDRAWN, DISMISSED}),
    WITHDRAWN: frozenset(),
    DISMISSED: frozenset(),
}
MOST_CHARS = 2000
MOST_OPEN_PER_ACCOUNT = 20
MOST_A_DAY = 10
"""Of an account, whatever became of them: each is a mail to somebody."""
MOST_ANSWERS = 5
"""To one report: each is a mail to whoever reported it."""
ASKED_FOR_DAYS = 14
"""How long after an instance is gone its client may report its machine."""


def may_become(old: str, new: str) -> bool:
    """Whether the table allows it."""
    return new in TRANSITIONS[old]


def text_problem(text: str) -> str:
    """What is wrong with a report's or an answer's words; "" when nothing is."""
    if not text.strip():
        return "Say what is wrong, as exactly as you can."
    if len(text) > MOST_CHARS:
        return f"At most {MOST_CHARS} characters, please; this is {len(text)}."
    return ""
