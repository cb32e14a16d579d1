"""Money that staff move by hand: what is asked for, who has to agree, and what may become of it. Pure."""

ADJUSTMENT = "adjustment"  # any sign, on the account of a client or a host
USAGE_REFUND = "usage_refund"  # gives a client use back
KINDS = (ADJUSTMENT, USAGE_REFUND)

REQUESTED = "requested"
POSTED = "posted"
REJECTED = "rejected"
STATES = (REQUESTED, POSTED, REJECTED)
TRANSITIONS: dict[str, frozenset[str]] = {
    REQUESTED: frozenset({POSTED, REJECTED}),
    POSTED: frozenset(),
    REJECTED: frozenset(),
}


def needs_second_person(kind: str, amount_micros: int, alone_micros: int) -> bool:
    """Whether somebody else of the staff has to agree; a client's use up to ``alone_micros`` is given back without."""
    return kind != USAGE_REFUND or amount_micros > alone_micros
