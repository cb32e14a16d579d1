"""What a rental of an offer costs, on demand and as a bid, as the rent dialog shows it."""

from dataclasses import dataclass

from marketplace.domain.offers import storage_micros_per_hour
from marketplace.domain.rent import MIN_DISK_GB
from marketplace.models import Offer
from marketplace.services.credit import HOURS_OF_CREDIT_NEEDED


@dataclass(frozen=True)
class Bill:
    """An hour of one way to rent, in micro-dollars. ``gpu_micros`` is None while the bid is no amount."""

    gpu_micros: int | None
    storage_micros: int
    balance_micros: int
    volume_micros: int = 0
    """A volume that is created with the instance."""

    @property
    def total_micros(self) -> int:
        return (self.gpu_micros or 0) + self.storage_micros + self.volume_micros

    @property
    def needed_micros(self) -> int:
        return self.total_micros * HOURS_OF_CREDIT_NEEDED

    @property
    def is_covered(self) -> bool:
        return self.gpu_micros is None or (self.balance_micros > 0 and self.balance_micros >= self.needed_micros)


@dataclass(frozen=True)
class RentPrice:
    """Both ways to rent the offer with this disk. ``bid_micros``: for all GPUs; None while none is typed."""

    offer: Offer
    disk_gb: int
    bid_micros: int | None
    balance_micros: int
    volume_gb: int = 0

    @property
    def on_demand(self) -> Bill:
        return Bill(self.offer.gpu_micros_per_hour, self.storage_micros, self.balance_micros, self.volume_micros)

    @property
    def interruptible(self) -> Bill:
        return Bill(self.bid_micros, self.storage_micros, self.balance_micros, self.volume_micros)

    @property
    def storage_micros(self) -> int:
        return storage_micros_per_hour(self.offer.storage_micros_per_gb_month, self.disk_gb)

    @property
    def volume_micros(self) -> int:
        return storage_micros_per_hour(self.offer.storage_micros_per_gb_month, self.volume_gb)

    @property
    def bid_loses(self) -> bool:
        """Whether this bid would have to wait for its turn now."""
        least = lowest_bid(self.offer)
        return least is None or (self.bid_micros is not None and self.bid_micros < least)

    @property
    def why_no_bid_wins(self) -> str:
        """Why nobody can start with a bid now; "" where one can."""
        if lowest_bid(self.offer) is not None:
            return ""
        if self.offer.min_bid_micros_per_hour is not None:
            return "Those who run bid as much as renting on demand costs, so no bid would run now."
        if self.offer.rented:
            return "On-demand rentals hold the GPUs, so no bid would run now."
        return "The machine takes nobody at this moment, so no bid would run now."


def lowest_bid(offer: Offer) -> int | None:
    """The least bid that would run now, in micro-dollars per hour for all GPUs; None where none would.

    A bid can't go beyond the on-demand price, so a minimum above it is out of reach.
    """
    least = offer.min_bid_micros_per_hour
    return None if least is None or least > offer.gpu_micros_per_hour else least


def has_room(offer: Offer) -> bool:
    """Whether the smallest disk still fits."""
    return offer.disk_space_gb >= MIN_DISK_GB
