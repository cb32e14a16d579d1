"""Carries out an auction's outcome on one machine: who leaves, who starts, who waits and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction

from hosting.models import Gpu, GpuClaim, Machine
from hosting.services.idle_jobs import idle_tasks_apply
from hosting.services.measuring import measurement_apply
from hosting.services.tasks import task_run, task_stop
from marketplace.domain import instance_states as states
from marketplace.domain import notices
from marketplace.domain.assignment import Surroundings, assign
from marketplace.domain.auction import Claim, Kind, Outcome
from marketplace.domain.displacement import Cause, displacement_cause
from marketplace.gateways.clearing_hint import hint_clearing
from marketplace.locks import share_machine
from marketplace.models import AuctionRound, Instance
from marketplace.services.clearing_sql import Contract, MarketFacts, gpus_before, machine_mark
from marketplace.services.metering import gpu_rate_set, gpu_time_ends
from marketplace.services.notices import notice_post
from marketplace.services.transition import instance_transition

WAITS_FOR_HANDOVER = "Its GPUs are being handed over; it starts in a moment."
WAITS_FOR_ITS_BID = "Waiting for its bid to win; then it starts by itself."
"""Why it does not win now changes all the time: pages and API tell the bid that would, looked up when asked."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What was known and what was decided."""

    facts: MarketFacts
    outcome: Outcome

    def assigned(self) -> dict[int, frozenset[int]]:
        """GPU ids by instance id, for every winner."""
        facts, winners = self.facts, self.outcome.winner_ids
        waiting = [c for c in facts.contracts if c.waits and c.claim.claim_id in winners]
        leaving = {c.claim.claim_id: c.held for c in facts.contracts if c.held and not c.claim.holds}
        around = Surroundings(ending=facts.ending, idle=facts.idle, before=gpus_before(waiting), leaving=leaving)
        return assign(facts.gpus, self.outcome.winners, around)

    def ready(self, contract: Contract, gpus: frozenset[int]) -> bool:
        """Whether a waiting winner can start on its GPUs now: nobody else's container is still on them, nor its own
        elsewhere."""
        busy = (self.facts.ending | self.facts.idle | self._held_by_others(contract)) - contract.held
        return contract.held <= gpus and not gpus & busy

    def _held_by_others(self, contract: Contract) -> set[int]:
        return {gpu for other in self.facts.contracts if other is not contract for gpu in other.held}


def machine_place(*, machine: Machine, placement: Placement, now: datetime) -> dict[int, frozenset[int]]:
    """Bring the locked machine to the outcome; returns who started, by instance id, and on which GPUs.

    The accounts of those who leave are locked.
    """
    facts, outcome = placement.facts, placement.outcome
    by_id = {contract.claim.claim_id: contract for contract in facts.contracts}
    assigned = placement.assigned()
    leaving = [by_id[pk] for pk in sorted(outcome.displaced)]
    starting = [c for c in facts.contracts if c.waits and c.claim.claim_id in outcome.winner_ids]
    ready = [c for c in starting if placement.ready(c, assigned[c.claim.claim_id])]
    losing = [c for c in facts.contracts if c.waits and c.claim.claim_id not in outcome.winner_ids]
    instances = _instances([*leaving, *starting, *losing], machine)
    if leaving or ready:
        _record(placement, assigned, now)
    for contract in leaving:
        cause = displacement_cause(contract.claim, outcome, facts.policy)
        grace_seconds = None if _lowered(contract) else settings.DISPLACEMENT_GRACE_SECONDS
        instance_displace(
            instance=instances[contract.claim.claim_id], cause=cause, grace_seconds=grace_seconds, now=now
        )
    gpus = {gpu.pk: gpu for gpu in machine.gpus.filter(pk__in=facts.gpus)} if ready else {}
    for contract in ready:
        won = sorted((gpus[pk] for pk in assigned[contract.claim.claim_id]), key=lambda gpu: gpu.index)
        instance_load(instance=instances[contract.claim.claim_id], gpus=won, now=now)
    for contract in starting:
        if contract not in ready:
            _wait(instances[contract.claim.claim_id], states.SCHEDULING, WAITS_FOR_HANDOVER, now)
    for contract in losing:
        _lose(instances[contract.claim.claim_id], contract.claim, placement, now)
    if facts.has_idle_job or facts.has_measurement:
        _use_the_rest(machine, placement, assigned, now)
    if outcome.displaced & outcome.winner_ids:
        _come_again(machine, now)  # they won other GPUs than those they had to leave
    elif (leaving or facts.idle) and len(ready) < len(starting):
        _come_again_if_freed(machine, placement, now)
    return {contract.claim.claim_id: assigned[contract.claim.claim_id] for contract in ready}


def _lowered(contract: Contract) -> bool:
    """Whether the client itself has just bid less. It gets the time of any stop, not that of who is interrupted:
    bidding up and down must not be a way to run for nothing."""
    return contract.claim.kind is Kind.BID and contract.claim.price < contract.price_in_force


def _come_again_if_freed(machine: Machine, placement: Placement, now: datetime) -> None:
    """A container that was told to leave before it ever began frees its GPUs at once, and no report will say so."""
    held_before = placement.facts.idle.union(*(contract.held for contract in placement.facts.contracts))
    still_held = GpuClaim.objects.filter(gpu__in=held_before, released_at=None).values_list("gpu_id", flat=True)
    if held_before - set(still_held):
        _come_again(machine, now)


def _come_again(machine: Machine, now: datetime) -> None:
    machine_mark(machine.pk, now)
    transaction.on_commit(hint_clearing)


def _instances(contracts: list[Contract], machine: Machine) -> dict[int, Instance]:
    ids = {contract.claim.claim_id for contract in contracts}
    if not ids:
        return {}
    found = {one.pk: one for one in Instance.objects.select_related("task", "client").filter(pk__in=ids)}
    for instance in found.values():
        share_machine(instance, machine)
    return found


def instance_load(*, instance: Instance, gpus: list[Gpu], now: datetime) -> None:
    """Give the instance its GPUs and ask the agent for a new run."""
    gpu_rate_set(instance=instance)
    task_run(task=instance.task, gpus=gpus, now=now)
    Instance.objects.filter(pk=instance.pk).update(waiting_since=None)
    instance.waiting_since = None
    instance_transition(instance=instance, to=states.LOADING, now=now, message="Waiting for the machine to start it.")


def instance_displace(*, instance: Instance, cause: Cause, grace_seconds: int | None, now: datetime) -> None:
    """Take the GPUs from an instance that still wants them: notice, SIGTERM, grace, stop. Charging ends now.

    It keeps its disk and starts again by itself when it wins. Its client is told once a minute at most, so that a
    market or a machine that flaps floods nobody.
    """
    gpu_time_ends(instance=instance, at=now)
    Instance.objects.filter(pk=instance.pk).update(running_since=None, waiting_since=now)
    instance_transition(instance=instance, to=states.OUTBID, now=now, reason=cause.reason, message=cause.message)
    task_stop(
        task=instance.task,
        now=now,
        grace_seconds=grace_seconds,
        notice=cause.message,
    )
    notice_post(
        instance=instance,
        kind=notices.OUTBID,
        key=f"instance:{instance.pk}:outbid:{now:%Y%m%d%H%M}",
        subject=f"Instance {instance.pk} was interrupted",
        text=f"{cause.message} Its disk is kept, and it starts again by itself when its bid wins.",
        now=now,
        data={"reason": cause.reason},
    )


def _lose(instance: Instance, claim: Claim, placement: Placement, now: datetime) -> None:
    """A bid that loses is outbid; an on-demand contract waits for others of its kind."""
    facts = placement.facts
    if claim.kind is Kind.ON_DEMAND:
        held = sum(len(c.held) for c in facts.contracts if c.claim.kind is Kind.ON_DEMAND and c.claim.holds)
        message = (
            f"Waiting for {claim.num_gpus} of the machine's {len(facts.gpus)} GPUs: on-demand rentals use {held}. "
            "It starts as soon as they are free."
        )
        _wait(instance, states.SCHEDULING, message, now)
    elif instance.state != states.OUTBID:
        _wait(instance, states.OUTBID, WAITS_FOR_ITS_BID, now)


def _wait(instance: Instance, state: str, message: str, now: datetime) -> None:
    if instance.state != state:
        instance_transition(instance=instance, to=state, now=now, reason="waiting", message=message)
    elif instance.status_message != message:
        Instance.objects.filter(pk=instance.pk).update(status_message=message)


def _use_the_rest(
    machine: Machine, placement: Placement, assigned: Mapping[int, frozenset[int]], now: datetime
) -> None:
    """What nobody has or is to have serves a measurement, for which it must be the whole machine, or the idle job."""
    facts = placement.facts
    taken = {gpu for gpus in assigned.values() for gpu in gpus}
    held = {gpu for contract in facts.contracts for gpu in contract.held} | facts.ending
    rest = [gpu for gpu in facts.gpus if gpu not in taken]
    unclaimed = [gpu for gpu in rest if gpu not in held]
    free = [gpu for gpu in unclaimed if gpu not in facts.idle]
    if facts.has_measurement and measurement_apply(
        machine=machine, gpu_ids=facts.gpus, unclaimed_gpu_ids=unclaimed, free_gpu_ids=free, now=now
    ):
        rest = free = []
    if facts.has_idle_job:
        idle_tasks_apply(machine=machine, gpu_ids=rest, free_gpu_ids=free, now=now)


def _record(placement: Placement, assigned: Mapping[int, frozenset[int]], now: datetime) -> None:
    """Keep what the decision rests on, so that anybody can replay it."""
    facts, outcome = placement.facts, placement.outcome
    AuctionRound.objects.create(
        machine_id=facts.machine_id,
        at=now,
        gpus=facts.gpus,
        claims=[_claim_record(claim) for claim in facts.claims],
        policy=asdict(facts.policy),
        runs={str(pk): sorted(gpus) for pk, gpus in assigned.items()},
        displaced=sorted(outcome.displaced),
    )


def _claim_record(claim: Claim) -> dict[str, object]:
    return {
        "instance": claim.claim_id,
        "kind": claim.kind.value,
        "num_gpus": claim.num_gpus,
        "micros_per_hour": claim.price,
        "placed_at": claim.placed_at.isoformat(),
        "holds": sorted(claim.holds),
    }
