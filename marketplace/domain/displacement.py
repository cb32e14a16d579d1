"""Why a contract lost its GPUs, in the client's words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.domain.money import exact_dollars
from marketplace.domain.auction import Claim, Kind, Outcome, Policy


@dataclass(frozen=True)
class Cause:
    """``reason`` is for machines, ``message`` for the client."""

    reason: str
    message: str


def displacement_cause(loser: Claim, outcome: Outcome, policy: Policy) -> Cause:
    """Why a claim that held GPUs must leave them. Every newcomer among the winners shares the blame: the strongest of
    them is named."""
    if loser.claim_id in outcome.winner_ids:
        return Cause("gpu_lost", "A GPU of the machine became unusable; it moves to others.")
    arrivals = [claim for claim in outcome.winners if not claim.holds]
    if any(claim.kind is Kind.ON_DEMAND for claim in arrivals):
        return Cause("on_demand", "An on-demand rental took the GPUs.")
    if loser.price < policy.floor * loser.num_gpus:
        return Cause("below_floor", f"The host's minimum bid is now ${exact_dollars(policy.floor)} per GPU and hour.")
    if arrivals:
        return Cause("outbid", _outbid(loser, arrivals))
    return Cause("gpu_lost", "The machine has fewer usable GPUs now.")


def _outbid(loser: Claim, rivals: Sequence[Claim]) -> str:
    rival = max(rivals, key=lambda claim: (claim.price / claim.num_gpus, -claim.claim_id))
    per_gpu = f"${exact_dollars(rival.price // rival.num_gpus)} per GPU and hour"
    if rival.num_gpus == loser.num_gpus:
        return f"Outbid by a higher bid of {per_gpu}."
    gpus = "1 GPU" if rival.num_gpus == 1 else f"{rival.num_gpus} GPUs"
    return f"Outbid by a bid of ${exact_dollars(rival.price)} per hour for {gpus} ({per_gpu})."
