"""The bodies of "set defjob" and "set min-bid", in the words of the command-line client."""

from marketplace.api.wire import Fields
from marketplace.errors import MarketError

_JOB_NAMES = frozenset({"machine", "client_id", "price_gpu", "price_inetu", "price_inetd", "image", "args"})
_MIN_BID_NAMES = frozenset({"machine", "client_id", "price"})


def idle_job(fields: Fields) -> tuple[str, list[str], int]:
    """Image, arguments and price in micro-dollars per GPU and HOUR, whatever unit the client prints.

    Raises MarketError(invalid_args): no price, a price for traffic, an unknown or senseless field.
    """
    fields.refuse_unknown(_JOB_NAMES)
    for name in ("price_inetu", "price_inetd"):
        if fields.number(name):
            message = f"An idle job pays for no traffic: leave {name} out or give 0."
            raise MarketError("invalid_args", message, field=name)
    if "price_gpu" not in fields:
        raise MarketError("invalid_args", "Give price_gpu, in $ per GPU and hour.", field="price_gpu")
    return fields.text("image").strip(), list(fields.texts("args") or ()), fields.micros("price_gpu", 0)


def min_bid_micros(fields: Fields) -> int:
    """The least bid in micro-dollars per GPU and hour; null is none."""
    fields.refuse_unknown(_MIN_BID_NAMES)
    return fields.micros("price", 0)
