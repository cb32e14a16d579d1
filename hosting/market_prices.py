"""Reads about what hosts ask and when their machines are worked on."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from django.db.models import F

from hosting.domain.market_prices import Asked, PriceRange, price_range
from hosting.models import Listing, Machine, QuietPeriod


def market_prices(machine: Machine) -> PriceRange | None:
    """What other hosts of machines with this GPU ask on demand; None where there are too few."""
    others = Listing.objects.filter(active=True, machine__gpu_name=machine.gpu_name, machine__removed_at=None)
    alike = others.filter(machine__online=True, machine__suspended_at=None, machine__simulated=machine.simulated)
    asked = alike.exclude(machine__host_id=machine.host_id).values_list("machine__host_id", "gpu_micros_per_hour")
    found = price_range([Asked(*row) for row in asked])
    return found and replace(found, low=_even(found.low), median=_even(found.median), high=_even(found.high))


def _even(micros: int) -> int:
    """To a tenth of a cent: a quartile between two prices has digits that nobody asked."""
    return round(micros, -3)


def maintenance_of(machine_ids: Collection[int], now: datetime) -> list[QuietPeriod]:
    """Announced maintenance of these machines that is not over, the earliest first."""
    due = QuietPeriod.objects.filter(kind=QuietPeriod.Kind.MAINTENANCE, machine_id__in=machine_ids, ends_at__gt=now)
    # What was called off is left without length.
    return list(due.filter(ends_at__gt=F("starts_at")).order_by("starts_at", "pk"))
