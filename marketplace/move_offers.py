"""Where an instance could move to, and how its move goes, as pages and API show it."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from marketplace.domain import moves
from marketplace.models import Instance, Move, Offer

MOST_OFFERS = 30


def offers_for(source: Instance, now: datetime) -> QuerySet[Offer]:
    """Offers of other machines with as many GPUs and enough disk, on demand or for bids, the cheapest first."""
    found = Offer.objects.filter(
        Q(rentable=True) | Q(min_bid_micros_per_hour__isnull=False),
        retired_at=None,
        end_at__gt=now,
        num_gpus=source.num_gpus,
        disk_space_gb__gte=source.disk_gb,
        cpu_arch=source.offer.cpu_arch,
    )
    others = found.exclude(machine_id=source.machine_id).exclude(host_id=source.client_id)
    return others.order_by("gpu_micros_per_hour", "pk")[:MOST_OFFERS]


_TITLES = {
    moves.ASKED: "Beginning",
    moves.STOPPING: "Stopping the source",
    moves.PACKING: "Packing the disk",
    moves.SENDING: "Sending the disk",
    moves.STARTING: "Starting the target",
}


@dataclass(frozen=True)
class MoveView:
    """An open move with how it goes. ``percent`` is None where that is not known."""

    move: Move
    title: str
    words: str
    percent: int | None


def move_of(instance: Instance) -> MoveView | None:
    """The open move of an instance, source or target; None where there is none."""
    found = Move.objects.filter(Q(source=instance) | Q(target=instance), state__in=moves.OPEN)
    move = found.select_related("sending", "receiving").first()
    if move is None:
        return None
    job = {moves.PACKING: move.sending, moves.SENDING: move.receiving}.get(move.state)
    share = job.progress if job is not None else None
    words = (job.message if job is not None else "") or move.message
    return MoveView(move, _TITLES[move.state], words, None if share is None else int(share * 100))
