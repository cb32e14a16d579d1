"""On which GPUs the winners of an auction run. Pure and deterministic.

Who runs keeps its GPUs. Who starts gets those it had before where it can, then the first ones that are free or only
have an idle job on them. GPUs whose last container is still ending are given to those who must wait anyway, so that
nobody waits who could start.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from marketplace.domain.auction import Claim


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What else matters about the GPUs of a machine.

    ``ending``: held by containers that were told to leave. ``idle``: held by an idle job, which yields at once.
    ``before``: by claim, the GPUs it ran on last. ``leaving``: by claim, the GPUs that its own last run still holds;
    a container can run nowhere else before it has left them, so it starts again there.
    """

    ending: Collection[int] = frozenset()
    idle: Collection[int] = frozenset()
    before: Mapping[int, Collection[int]] = field(default_factory=dict)
    leaving: Mapping[int, frozenset[int]] = field(default_factory=dict)


def assign(gpus: Sequence[int], winners: Sequence[Claim], around: Surroundings) -> dict[int, frozenset[int]]:
    """The GPUs of each winner, by claim id; ``gpus`` are the machine's usable ones in their order."""
    given = {claim.claim_id: claim.holds for claim in winners if claim.holds}
    taken = {gpu for held in given.values() for gpu in held}
    free = [gpu for gpu in gpus if gpu not in taken]
    for claim in sorted((c for c in winners if not c.holds), key=lambda c: _order(c, around)):
        given[claim.claim_id] = _pick(claim, free, around)
        free = [gpu for gpu in free if gpu not in given[claim.claim_id]]
    return given


def _order(claim: Claim, around: Surroundings) -> tuple[bool, bool]:
    """Those tied to certain GPUs choose first; otherwise in the order given."""
    return (claim.claim_id not in around.leaving, not around.before.get(claim.claim_id))


def _pick(claim: Claim, free: list[int], around: Surroundings) -> frozenset[int]:
    own = around.leaving.get(claim.claim_id, frozenset())
    if own and len(own) == claim.num_gpus and own <= set(free):
        return own
    before = around.before.get(claim.claim_id, ())
    can_start = sum(gpu not in around.ending for gpu in free) >= claim.num_gpus

    def rank(gpu: int) -> tuple[bool, bool, bool]:
        return ((gpu in around.ending) == can_start, gpu not in before, gpu in around.idle)

    return frozenset(sorted(free, key=rank)[: claim.num_gpus])
