"""What is agreed with one account, where it differs from what all have, and who has to agree. Pure."""

from dataclasses import dataclass

from billing.domain.money import exact_dollars

REQUESTED = "requested"
AGREED = "agreed"
REJECTED = "rejected"
OVERTAKEN = "overtaken"  # by other terms, before anybody decided
STATES = (REQUESTED, AGREED, REJECTED, OVERTAKEN)
WHOLE_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Terms:
    """The host's part of new contracts in hundredths of a percent, and the most the client may spend an hour in
    micro-dollars. None is what the account has without any agreement."""

    host_share_bps: int | None = None
    spend_limit_micros_per_hour: int | None = None

    def __str__(self) -> str:
        share, limit = self.host_share_bps, self.spend_limit_micros_per_hour
        share_said = "usual share" if share is None else f"share {share} bps"
        return f"{share_said}, {'usual limit' if limit is None else f'limit ${exact_dollars(limit)} an hour'}"


def in_favour(before: Terms, after: Terms, *, usual_share_bps: int, usual_limit_micros: int) -> bool:
    """Whether the account gets more of anything than it has: then two persons have to agree."""
    more_share = _or(after.host_share_bps, usual_share_bps) > _or(before.host_share_bps, usual_share_bps)
    limits = (terms.spend_limit_micros_per_hour for terms in (before, after))
    old, new = (_or(limit, usual_limit_micros) for limit in limits)
    return more_share or new > old


def _or(agreed: int | None, usual: int) -> int:
    return usual if agreed is None else agreed
