"""Money that staff move by hand: what is asked for, who has to agree, and what may become of it. Pure."""

from datetime import timedelta

ADJUSTMENT = "adjustment"  # any sign, on the account of a client or a host
USAGE_REFUND = "usage_refund"  # gives a client use back
CREDIT_GRANT = "credit_grant"  # gives a client credit that speaks for it, as what it paid would
KINDS = (ADJUSTMENT, USAGE_REFUND, CREDIT_GRANT)
GIVEN = (USAGE_REFUND, CREDIT_GRANT)
"""What clients are only given, never the other way round."""
ALONE_WITHIN = timedelta(hours=24)
"""What one person gives without a second one counts together for so long: many small gifts are a large one."""

REQUESTED = "requested"
POSTED = "posted"
REJECTED = "rejected"
STATES = (REQUESTED, POSTED, REJECTED)
TRANSITIONS: dict[str, frozenset[str]] = {
    REQUESTED: frozenset({POSTED, REJECTED}),
    POSTED: frozenset(),
    REJECTED: frozenset(),
}


def needs_second_person(kind: str, amount_micros: int, *, given_micros: int, alone_micros: int) -> bool:
    """Whether somebody else of the staff has to agree.

    A client is given up to ``alone_micros`` without, together with ``given_micros`` that it was given so lately.
    """
    return kind not in GIVEN or given_micros + amount_micros > alone_micros
