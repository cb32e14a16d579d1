"""Runs the auction: brings what runs on machines to what their claims say.

Who changes something about one machine and holds its lock anyway clears it in the same transaction
(``machine_clear``). Bids take no lock: they leave a dirty mark, and a worker clears whatever is marked
(``dirty_clear``). The marks are deleted before the claims are read, so nothing that was committed is ever missed; a
worker killed at any point leaves the marks for the next one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from django.db import transaction

from billing.services import accounts_lock, meters_set_rates
from hosting.models import Machine
from marketplace.domain import instance_states as states
from marketplace.domain.auction import Outcome, clear
from marketplace.services import clearing_sql as sql
from marketplace.services.clearing_sql import Contract, MarketFacts
from marketplace.services.metering import gpu_reference_of
from marketplace.services.offers import offers_refresh
from marketplace.services.placement import Placement, machine_place

logger = structlog.get_logger(__name__)

BATCH_MACHINES = 500
Quotes = Mapping[int, int | None]


@dataclass(frozen=True, slots=True)
class Cleared:
    """One machine with its outcome."""

    facts: MarketFacts
    outcome: Outcome

    @property
    def moves(self) -> bool:
        """Whether anybody has to start, stop or be told that it waits."""
        winners = self.outcome.winner_ids
        return bool(
            self.outcome.displaced
            or self.facts.has_idle_job
            or self.facts.has_measurement
            or any(contract.waits and _is_news(contract, winners) for contract in self.facts.contracts)
        )


def _is_news(contract: Contract, winners: frozenset[int]) -> bool:
    """A waiting contract that wins may start; one that loses is news once. On demand it is told what it waits for."""
    return contract.claim.claim_id in winners or contract.state == states.SCHEDULING


def machine_clear(*, machine: Machine, now: datetime) -> Quotes:
    """Clear the one locked machine and bring its offers up to date; returns the quotes by GPU count.

    The caller holds the ledger accounts of those who run on it (``marketplace.locks``).
    """
    sql.marks_take([machine.pk])
    cleared = _clear(sql.market_facts([machine.pk]))
    quotes = _apply(cleared, now, {machine.pk: machine}).get(machine.pk, {})
    offers_refresh(machine=machine, quotes=quotes, now=now)
    return quotes


def dirty_clear(*, now: Callable[[], datetime], batch: int = BATCH_MACHINES) -> int:
    """Clear every marked machine; returns how many. Machines that others are busy with come last.

    Those that are busy still keep their marks for the next time: waiting would hold up all others. ``now`` tells the
    time at the start of each batch.
    """
    done, after, busy = 0, 0, list[int]()
    while machine_ids := sql.dirty_machines(batch, after):
        after = machine_ids[-1]
        locked = _clear_together(machine_ids, now())
        busy += sorted(set(machine_ids) - set(locked))
        done += len(locked)
    return done + sum(len(_clear_together(busy[i : i + batch], now())) for i in range(0, len(busy), batch))


def _clear_together(machine_ids: Sequence[int], now: datetime) -> list[int]:
    """Clear these in one transaction; where that fails each alone, so that one that fails holds up no other."""
    try:
        return machines_clear(machine_ids=machine_ids, now=now)
    except Exception:
        if len(machine_ids) == 1:
            logger.exception("clearing_failed", machine_id=machine_ids[0])
            return []
        logger.warning("clearing_batch_failed", machines=len(machine_ids), exc_info=True)
    return [pk for machine_id in machine_ids for pk in _clear_together([machine_id], now)]


@transaction.atomic
def machines_clear(*, machine_ids: Sequence[int], now: datetime) -> list[int]:
    """Lock those of these machines that nobody else holds and clear them, with as many statements as for one where
    nobody has to start or stop. Returns their ids.
    """
    locked = sql.machines_lock(machine_ids)
    if not locked:
        return locked
    sql.marks_take(locked)
    cleared = _clear(sql.market_facts(locked))
    _lock_payers(cleared)
    quotes = _apply(cleared, now, {})
    outdated = sql.quotes_store(quotes)
    for machine in Machine.objects.filter(pk__in=outdated).order_by("pk"):
        offers_refresh(machine=machine, quotes=quotes[machine.pk], now=now)
    return locked


def _clear(facts: Iterable[MarketFacts]) -> list[Cleared]:
    """Machines that can't be reached are left as they are: nobody could be told to start or stop."""
    return [Cleared(one, clear(one.gpus, one.claims, one.policy)) for one in facts if one.able]


def _lock_payers(cleared: Iterable[Cleared]) -> None:
    """Lock all accounts whose meters may change, at once and in order."""
    payer_ids = {
        contract.client_id
        for one in cleared
        for contract in one.facts.contracts
        if contract.claim.holds and (contract.claim.claim_id in one.outcome.displaced or _reprices(contract))
    }
    if payer_ids:
        accounts_lock(payer_ids=payer_ids)


def _reprices(contract: Contract) -> bool:
    return bool(contract.claim.price) and contract.claim.price != contract.price_in_force


def _apply(cleared: Sequence[Cleared], now: datetime, known: Mapping[int, Machine]) -> dict[int, Quotes]:
    """Carry the outcomes out; returns the quotes that hold from then on, by machine."""
    _put_bids_in_force(cleared, now)
    moving = {one.facts.machine_id: one for one in cleared if one.moves}
    missing = Machine.objects.filter(pk__in=moving.keys() - known.keys())
    machines = {machine.pk: machine for machine in missing} | dict(known)
    quotes: dict[int, Quotes] = {one.facts.machine_id: one.outcome.quotes for one in cleared}
    for machine_id in sorted(moving):
        one = moving[machine_id]
        started = machine_place(machine=machines[machine_id], placement=Placement(one.facts, one.outcome), now=now)
        if started or one.outcome.displaced:
            quotes[machine_id] = _quotes_after(one, started)
    return quotes


def _quotes_after(one: Cleared, started: Mapping[int, frozenset[int]]) -> Quotes:
    """Whoever has started has its margin from now on, and whoever left has lost it."""
    claims = [
        replace(claim, holds=started.get(claim.claim_id, frozenset()))
        if claim.claim_id in started or claim.claim_id in one.outcome.displaced
        else claim
        for claim in one.facts.claims
    ]
    return clear(one.facts.gpus, claims, one.facts.policy).quotes


def _put_bids_in_force(cleared: Iterable[Cleared], now: datetime) -> None:
    """From now on everyone pays what it bids. Waiting ones pay nothing; their meters follow when they start."""
    changed = [contract for one in cleared for contract in one.facts.contracts if _reprices(contract)]
    if not changed:
        return
    sql.prices_store({contract.claim.claim_id: contract.claim.price for contract in changed})
    rates = {
        gpu_reference_of(contract.claim.claim_id): contract.claim.price for contract in changed if contract.claim.holds
    }
    if rates:
        meters_set_rates(rates=rates, now=now)
