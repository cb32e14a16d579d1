"""How a charge is split between host and platform so that no micro-dollar is ever lost.

Each charge adds amount * share (in hundredths of a percent) to an exact running sum; the host has always
got the floor of that sum and the platform the rest. Therefore host + platform = charge in every posting,
and the host's part does not depend on how many postings a contract was billed in.
"""

from billing.domain.errors import InvalidShareError

BASIS_POINTS = 10_000


def check_share(host_share_bps: int) -> None:
    """Raises InvalidShareError unless ``host_share_bps`` is between 0 and 10000."""
    if not 0 <= host_share_bps <= BASIS_POINTS:
        raise InvalidShareError(f"The host's share must be between 0 and 10000, not {host_share_bps}.")


def host_part_micros(share_units: int, amount_micros: int, host_share_bps: int) -> int:
    """The host's part of a new charge, given the exact sum ``share_units`` of all before it on the same
    meter.
    """
    after = share_units + amount_micros * host_share_bps
    return after // BASIS_POINTS - share_units // BASIS_POINTS
