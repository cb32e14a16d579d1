"""Bids: what a client offers for the GPUs of an interruptible instance."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing.domain.money import exact_dollars
from billing.selectors import client_spend_limit_micros, least_spend_limit_micros
from hosting.locks import lock_machine
from marketplace.domain import instance_states as states
from marketplace.domain.auction import LEAST_FLOOR, Claim, Kind, quote_for
from marketplace.domain.bids import BINDING
from marketplace.errors import MarketError
from marketplace.gateways.clearing_hint import hint_clearing
from marketplace.models import Instance, Offer
from marketplace.services import clearing_sql as sql
from marketplace.services.credit import spend_limit_reached


@dataclass(frozen=True)
class ChangedBid:
    """The bid as it stands now, in micro-dollars per hour for all GPUs of the instance."""

    instance_id: int
    micros_per_hour: int


def bid_change(*, instance_id: int, client: AbstractBaseUser, price_micros: int | None, now: datetime) -> ChangedBid:
    """Change the bid of an interruptible instance: micro-dollars per hour for all its GPUs; None bids the least that
    wins now.

    The auction takes it in right after, and from then on it is the bid and the price paid. Bidding the same again
    changes nothing.
    Raises MarketError: no_such_instance (404), wrong_state (409) on demand or destroyed, invalid_price,
    no_winning_bid (409) when no price would win, bid_binding (409) for a lower one while it starts, spend_limit (403)
    for one that makes the client spend more than it may.
    """
    price = _winning_price(instance_id, client) if price_micros is None else price_micros
    if price < LEAST_FLOOR:
        refuse_senseless_bid(price, most_micros=price)
    place = partial(sql.bid_place, instance_id=instance_id, client_id=client.pk, price_micros=price, now=now)
    found = place(spend_limit_micros=least_spend_limit_micros())
    if found is not None and _is_held_down(found, price):
        # Few come here: the limit that everybody has needs no look at the client's history.
        most = client_spend_limit_micros(client)
        found = place(spend_limit_micros=most)
        if found is not None and _is_held_down(found, price):
            raise spend_limit_reached(found.together_micros_per_hour, most)
    if found is None or found.state == states.DESTROYED:
        raise MarketError("no_such_instance", f"You have no instance {instance_id}.", status=404)
    if not found.is_interruptible:
        raise _not_a_bid(instance_id)
    if found.state == states.DESTROYING:
        raise MarketError("wrong_state", f"Instance {instance_id} is being destroyed.", status=409)
    refuse_senseless_bid(price, most_micros=found.most_micros_per_hour)
    if not found.placed:
        raise MarketError("bid_binding", BINDING, status=409)
    transaction.on_commit(hint_clearing)
    return ChangedBid(instance_id, price)


def _is_held_down(found: sql.PlacedBid, price_micros: int) -> bool:
    """Whether nothing but the spend limit keeps the bid from being raised to this price."""
    ended = found.state in (states.DESTROYING, states.DESTROYED)
    is_raise = found.before_micros_per_hour is not None and price_micros > found.before_micros_per_hour
    return is_raise and not ended and not found.placed and price_micros <= found.most_micros_per_hour


def refuse_senseless_bid(price_micros: int, *, most_micros: int) -> None:
    """Raises MarketError(invalid_price) for a bid below a tenth of a cent or above the on-demand price."""
    if price_micros < LEAST_FLOOR:
        least = exact_dollars(LEAST_FLOOR)
        raise MarketError("invalid_price", f"A bid must be at least ${least} per hour.", field="price")
    if price_micros > most_micros:
        raise MarketError(
            "invalid_price",
            f"A bid of ${exact_dollars(price_micros)} per hour is more than renting on demand costs "
            f"(${exact_dollars(most_micros)}). Rent on demand instead: nobody can interrupt that.",
            field="price",
        )


def refuse_losing_bid(offer: Offer, price_micros: int, least: int | None) -> None:
    """Raises MarketError(invalid_price) when ``least``, micro-dollars per hour, is more than the bid.

    Raises MarketError(no_such_ask, 410) when it is None: no bid would run now.
    """
    if least is None:
        raise MarketError(
            "no_such_ask",
            f"No bid for offer {offer.pk} would run now: on-demand rentals use its GPUs, or its machine can't take "
            "anybody. Ask to wait, or search again.",
            status=410,
        )
    if price_micros < least:
        raise MarketError(
            "invalid_price",
            f"Your bid of ${exact_dollars(price_micros)} per hour would not run now: the minimum is "
            f"${exact_dollars(least)}. Bid that, or ask to wait for your turn.",
            field="price",
        )


@transaction.atomic
def _winning_price(instance_id: int, client: AbstractBaseUser) -> int:
    """The least bid at which the instance would run, or go on running, now."""
    instance = Instance.objects.filter(pk=instance_id, client_id=client.pk).first()
    if instance is None:
        raise MarketError("no_such_instance", f"You have no instance {instance_id}.", status=404)
    if instance.bid_micros_per_hour is None:
        raise _not_a_bid(instance_id)
    lock_machine(instance.machine_id)
    (facts,) = sql.market_facts([instance.machine_id])
    coming = sql.bids_on_their_way([instance.machine_id])
    claims = [
        replace(claim, price=coming.get(claim.claim_id, claim.price))
        for claim in facts.claims
        if claim.claim_id != instance_id
    ]
    own = next((claim for claim in facts.claims if claim.claim_id == instance_id), _stopped(instance))
    least = quote_for(facts.gpus, [*claims, own], facts.policy, instance_id)
    if least is None:
        raise MarketError(
            "no_winning_bid", "On-demand rentals use the GPUs: no bid would run this instance now.", status=409
        )
    return least


def _stopped(instance: Instance) -> Claim:
    """The claim of an instance that takes no part now, as it would be if it did."""
    return Claim(
        claim_id=instance.pk, kind=Kind.BID, num_gpus=instance.num_gpus, placed_at=instance.created_at, price=1
    )


def _not_a_bid(instance_id: int) -> MarketError:
    return MarketError(
        "wrong_state", f"Instance {instance_id} is rented on demand at a fixed price: it has no bid.", status=409
    )
