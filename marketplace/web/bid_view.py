"""What a page says about the bid of an instance: what it pays, what would run it, what others must bid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from billing.domain.money import exact_dollars
from marketplace import selectors
from marketplace.domain import instance_states as states
from marketplace.models import Instance, Offer

HOLDS_GPUS = states.ON_GPUS
WAITS = frozenset({states.OUTBID, states.SCHEDULING})


@dataclass(frozen=True)
class BidView:
    """Prices in micro-dollars per hour for all GPUs of the instance.

    ``least``: the bid at which it would run, or go on running, now; None where no price would do. ``most``: the
    on-demand price, beyond which nobody can bid. ``rivals``: what one more bid for as many GPUs needs; None where none
    would win or the size is not on the market. ``is_known``: whether the machine can be reached and all this is true.
    """

    instance: Instance
    micros: int
    least: int | None
    most: int
    rivals: int | None
    is_known: bool

    @property
    def winnable(self) -> int | None:
        """The least bid that one can make and that wins now; None where there is none."""
        return None if self.least is None or self.least > self.most else self.least

    @property
    def is_losing(self) -> bool:
        """Whether it waits, or would once it is started."""
        return self.is_known and (self.least is None or self.micros < self.least)

    @property
    def is_worth_raising(self) -> bool:
        """Whether it waits, and another bid would run it now."""
        return self.is_losing and self.winnable is not None and self.instance.state in WAITS

    @property
    def note(self) -> str:
        """What to know about it now, in a sentence; "" where there is nothing."""
        if not self.is_known:
            return ""
        if self.instance.state in HOLDS_GPUS:
            return self._rivals_note()
        if not self.is_losing:
            return ""
        if self.instance.state in WAITS:
            return self._waiting_note()
        return f"Started now, it would wait. {self._waiting_note()}"

    def _waiting_note(self) -> str:
        if self.winnable is not None:
            return f"A bid of ${exact_dollars(self.winnable)}/h would run it now."
        if self.least is None:
            return "No bid would run it now: on-demand rentals use the GPUs."
        return "No bid would run it now: others bid as much as renting on demand costs."

    def _rivals_note(self) -> str:
        if self.rivals is None:
            return ""
        gpus = "1 GPU" if self.instance.num_gpus == 1 else f"{self.instance.num_gpus} GPUs"
        return f"Others must bid ${exact_dollars(self.rivals)}/h to run on {gpus} of this machine now."


def bid_views(instances: Iterable[Instance]) -> dict[int, BidView]:
    """The bids of the interruptible ones among these instances, by id, with a handful of queries for all."""
    bidding = [instance for instance in instances if instance.bid_micros_per_hour is not None]
    if not bidding:
        return {}
    least = selectors.least_winning_bids(bidding)
    offers = selectors.live_offers({(instance.machine_id, instance.num_gpus) for instance in bidding})
    newest = selectors.newest_bids(bidding)
    return {instance.pk: _view(instance, newest[instance.pk], least, offers) for instance in bidding}


def _view(
    instance: Instance,
    micros: int,
    least: Mapping[int, int | None],
    offers: Mapping[tuple[int, int], Offer],
) -> BidView:
    live = offers.get((instance.machine_id, instance.num_gpus))
    return BidView(
        instance=instance,
        micros=micros,
        least=least.get(instance.pk),
        most=max(instance.offer.gpu_micros_per_hour, live.gpu_micros_per_hour if live else 0),
        rivals=live.min_bid_micros_per_hour if live else None,
        is_known=instance.pk in least,
    )
