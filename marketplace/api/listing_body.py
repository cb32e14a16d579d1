"""The body of "list machine", in the words of the command-line client, as listing terms."""

import re
from datetime import UTC, datetime, timedelta

from hosting.domain.listing import ListingTerms
from hosting.domain.sandboxes import NONE
from hosting.models import Listing
from marketplace.api.wire import Fields
from marketplace.domain.query_fields import shown
from marketplace.domain.query_values import number
from marketplace.errors import MarketError

USUAL_STORAGE_MICROS_PER_GB_MONTH = 100_000
USUAL_TRAFFIC_MICROS_PER_GB = 10_000
USUAL_DURATION = timedelta(days=90)

_KNOWN_NAMES = """
    machine client_id price_gpu price_disk price_inetu price_inetd price_min_bid min_chunk end_date duration
    sandbox credit_discount_max vol_size vol_price
"""
_KNOWN = frozenset(_KNOWN_NAMES.split())
_UNAVAILABLE = {
    "credit_discount_max": "Discounts for paying ahead are not available: leave the discount rate out or give 0.",
    "vol_size": "Volumes are not available yet: leave vol_size out or give 0.",
    "vol_price": "Volumes are not available yet: leave vol_price out or give 0.",
}
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_DURATION = re.compile(r"(?P<count>[0-9]{1,6})\s*(?P<unit>day|week|month|year)s?")


def machine_of(fields: Fields) -> int:
    """The machine that the body names."""
    found = fields.number("machine")
    if found is None or found != int(found) or not 0 < found < 2**53:
        raise MarketError("invalid_args", "machine must be the id of one of your machines.", field="machine")
    return int(found)


def listing_terms(fields: Fields, present: Listing | None, *, now: datetime) -> ListingTerms:
    """The terms asked for; what the body leaves out stays as it is, or is the usual for a first listing.

    Raises MarketError(invalid_args): no price for a machine that was never listed, an unknown or senseless field.
    """
    fields.refuse_unknown(_KNOWN)
    for name, sentence in _UNAVAILABLE.items():
        if fields.number(name):
            raise MarketError("invalid_args", sentence, field=name)
    if present is None and "price_gpu" not in fields:
        raise MarketError("invalid_args", "Give price_gpu, the price of one GPU in $/hour.", field="price_gpu")
    return ListingTerms(
        gpu_micros_per_hour=fields.micros("price_gpu", present.gpu_micros_per_hour if present else 0),
        storage_micros_per_gb_month=fields.micros(
            "price_disk",
            present.storage_micros_per_gb_month if present else USUAL_STORAGE_MICROS_PER_GB_MONTH,
        ),
        inet_up_micros_per_gb=fields.micros(
            "price_inetu", present.inet_up_micros_per_gb if present else USUAL_TRAFFIC_MICROS_PER_GB
        ),
        inet_down_micros_per_gb=fields.micros(
            "price_inetd", present.inet_down_micros_per_gb if present else USUAL_TRAFFIC_MICROS_PER_GB
        ),
        min_bid_micros_per_gpu_hour=fields.micros(
            "price_min_bid", present.min_bid_micros_per_gpu_hour if present else 0
        ),
        min_gpus=_count(fields, "min_chunk", present.min_gpus if present else 1),
        end_at=_end(fields, present, now),
        sandbox=_sandbox(fields, present),
    )


def has_end(fields: Fields) -> bool:
    """Whether the body says itself until when, which in this dialect extends running contracts too."""
    return "end_date" in fields or "duration" in fields


def _count(fields: Fields, name: str, default: int) -> int:
    count = fields.number(name, float(default))
    if count is None or count != int(count) or abs(count) > 1_000_000:
        raise MarketError("invalid_args", f"{name} must be a whole number.", field=name)
    return int(count)


def _sandbox(fields: Fields, present: Listing | None) -> str:
    if "sandbox" not in fields:
        return present.sandbox if present else NONE
    named = fields.get("sandbox")
    return NONE if named is None else str(named).strip().lower()[:40]


def _end(fields: Fields, present: Listing | None, now: datetime) -> datetime:
    """The end date given, or this duration from now, or the present one while it is still to come."""
    if "end_date" in fields and "duration" in fields:
        raise MarketError("invalid_args", "Give end_date or duration, not both.", field="duration")
    if "end_date" in fields:
        return _instant(fields.number("end_date") or 0.0)
    if "duration" in fields:
        return _after(now, _seconds(fields.get("duration")))
    if present is not None and present.end_at > now:
        return present.end_at
    return now + USUAL_DURATION


def _instant(epoch_seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(epoch_seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise MarketError("invalid_args", "end_date must be seconds since 1970.", field="end_date") from error


def _after(now: datetime, seconds: float) -> datetime:
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError as error:
        raise MarketError("invalid_args", "duration is too long.", field="duration") from error


def _seconds(duration: object) -> float:
    seconds = number(duration)
    if seconds is not None:
        return seconds
    match = _DURATION.fullmatch(duration.strip().lower()) if isinstance(duration, str) else None
    if match is None:
        raise MarketError(
            "invalid_args", f"{shown(duration)} is not a duration like 2 weeks or 86400 (seconds).", field="duration"
        )
    return float(int(match["count"]) * _DAYS[match["unit"]] * 86_400)
