"""What of a machine can be rented at this moment. Pure.

Nothing about a machine can be fragmented. A contract is for a number of GPUs and never for certain ones: the auction
counts (marketplace/domain/auction.py), and whoever wins is put on whichever GPUs are free
(marketplace/domain/assignment.py). So any k of k free GPUs can be rented together, wherever they sit, and a container
that stopped may go on on others. The disk is one file system, of which any part is as good as another. That is why
there is a function that tells how much is free, and none that moves anything.
"""

from collections.abc import Collection
from dataclasses import dataclass

from marketplace.domain.auction import Claim, Kind, Policy, clear


@dataclass(frozen=True, kw_only=True)
class Room:
    """GPUs of one machine, each counted once.

    ``gpus``: there and healthy. ``on_demand``: held by contracts that nobody displaces. ``bids``: held by
    interruptible ones. ``ending``: their last container is still ending, so they are free in a moment. ``rentable``:
    the most that one contract can have, if it pays what the quote for so many asks; bids may have to leave for it.
    """

    gpus: int
    on_demand: int = 0
    bids: int = 0
    ending: int = 0
    rentable: int = 0

    @property
    def free(self) -> int:
        """Nobody has to leave for these."""
        return self.gpus - self.on_demand - self.bids - self.ending


def room_of(gpus: Collection[int], claims: Collection[Claim], policy: Policy, ending: Collection[int] = ()) -> Room:
    """What the usable GPUs of a machine are to its claims. A GPU counts as ending only if no claim holds it."""
    usable = frozenset(gpus)
    on_demand, bids = (_held(usable, claims, kind) for kind in (Kind.ON_DEMAND, Kind.BID))
    quotes = clear(gpus, claims, policy).quotes
    return Room(
        gpus=len(usable),
        on_demand=len(on_demand),
        bids=len(bids),
        ending=len(usable & frozenset(ending) - on_demand - bids),
        rentable=max((size for size, quote in quotes.items() if quote is not None), default=0),
    )


def _held(usable: frozenset[int], claims: Collection[Claim], kind: Kind) -> frozenset[int]:
    return usable & frozenset(gpu for claim in claims if claim.kind is kind for gpu in claim.holds)


def room_sentence(room: Room, *, is_offered: bool) -> str:
    """What a host is told who wants to defragment; ``is_offered``: whether the machine has an offer that can be
    rented now."""
    if not room.gpus:
        return "No GPU of this machine is fit to be rented now."
    parts = [
        f"{room.free} of {room.gpus} {'GPU is' if room.gpus == 1 else 'GPUs are'} free",
        f"{room.on_demand} rented on demand" if room.on_demand else "",
        f"{room.bids} rented by bids, which on-demand rentals and higher bids may displace" if room.bids else "",
        f"{room.ending} free in a moment" if room.ending else "",
    ]
    return f"{'; '.join(part for part in parts if part)}. {_together(room, is_offered)}"


def _together(room: Room, is_offered: bool) -> str:
    if not room.rentable:
        return "Nothing more can be rented before somebody leaves."
    if not is_offered:
        return "None is on offer now: the machine is not listed, away, suspended, or has no disk left."
    if room.rentable == 1:
        return "One more can be rented."
    return f"One rental can have up to {room.rentable} together, wherever they sit: there is nothing to defragment."
