"""When something that failed to reach somebody is tried again, and when no longer."""

from datetime import timedelta

WAITS_SECONDS = (5, 30, 120, 600, 3_600, 10_800, 28_800)
ATTEMPTS = len(WAITS_SECONDS) + 1
JITTER = 0.2
"""A wait is longer than its step by up to this part of it, so that what failed together does not come back together."""

GIVEN_UP_IN_ROW = 5
FAILING_AT_LEAST = timedelta(days=1)


def next_wait(attempts: int, fraction: float) -> timedelta | None:
    """The wait after ``attempts`` failed attempts; None when it is time to give up.

    ``fraction``, from 0 to 1, says how much of the jitter is added.
    """
    if attempts >= ATTEMPTS:
        return None
    return timedelta(seconds=WAITS_SECONDS[max(attempts, 1) - 1] * (1 + JITTER * fraction))


def is_hopeless(given_up_in_row: int, failing_for: timedelta) -> bool:
    """Whether a receiver has failed so often and for so long that it is spared from now on."""
    return given_up_in_row >= GIVEN_UP_IN_ROW and failing_for >= FAILING_AT_LEAST
