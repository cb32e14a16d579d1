"""Settles disputes about an auction: the recorded input is decided again and compared with what was done."""

from datetime import datetime
from typing import Any

from marketplace.domain.auction import Claim, Kind, Outcome, Policy, clear
from marketplace.models import AuctionRound


def round_outcome(played: AuctionRound) -> Outcome:
    """What the auction says of the recorded claims."""
    return clear(played.gpus, [_claim(record) for record in played.claims], Policy(**played.policy))


def round_holds(played: AuctionRound) -> bool:
    """Whether the auction decides the recorded claims as it did then."""
    outcome = round_outcome(played)
    return {str(pk) for pk in outcome.winner_ids} == set(played.runs) and outcome.displaced == set(played.displaced)


def _claim(record: dict[str, Any]) -> Claim:
    return Claim(
        claim_id=record["instance"],
        kind=Kind(record["kind"]),
        num_gpus=record["num_gpus"],
        price=record["micros_per_hour"],
        placed_at=datetime.fromisoformat(record["placed_at"]),
        holds=frozenset(record["holds"]),
    )
