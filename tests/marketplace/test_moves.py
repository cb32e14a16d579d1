"""Moves to other machines: step by step, given up at any point, and with workers that die."""

from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from agent.job_protocol import JobReport
from agent.protocol import ObservedTask
from billing.selectors import meter_totals_micros
from hosting.domain import jobs
from marketplace.domain import instance_states as instances
from marketplace.domain import moves
from marketplace.domain.moves import Do, Facts, next_step
from marketplace.errors import MarketError
from marketplace.models import Instance, Move
from marketplace.services import moves as service
from marketplace.services.lifecycle import instance_destroy, instance_start, instance_stop
from marketplace.services.moves import move_begin, move_cancel, moves_sweep
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

LATER = T0 + timedelta(minutes=5)
PARCEL = {"container_id": "c", "started_at": "", "image": "i", "parts": []}


def facts(**values: Any) -> Facts:
    known: dict[str, Any] = {"source_state": "stopped", "target_state": "stopped", "target_has_run": False}
    return Facts(**({"state": "asked"} | known | values))


def test_the_next_step_is_one_that_the_table_allows() -> None:
    leads = {
        Do.STOP_SOURCE: moves.STOPPING,
        Do.PACK: moves.PACKING,
        Do.SEND: moves.SENDING,
        Do.START_TARGET: moves.STARTING,
        Do.FINISH: moves.DONE,
        Do.FAIL: moves.FAILED,
    }
    every = product(moves.OPEN, instances.STATES, instances.STATES, (False, True), ("", *jobs.STATES), (False, True))
    for (state, source, target, has_run, sending, packed), receiving in product(every, ("", *jobs.STATES)):
        step = next_step(
            facts(
                state=state,
                source_state=source,
                target_state=target,
                target_has_run=has_run,
                sending_state=sending,
                is_packed=packed,
                receiving_state=receiving,
            )
        )
        assert step.do is Do.NOTHING or moves.may_become(state, leads[step.do])
        assert step.do is not Do.FAIL or (step.reason and step.message)
        if step.do is Do.FINISH:
            assert has_run
        if step.do is Do.START_TARGET:
            assert receiving == jobs.DONE
        if step.do is Do.FAIL and state == moves.STARTING:
            assert not has_run


def test_a_target_that_has_run_ends_the_move_whatever_came_after() -> None:
    for source, target in product(instances.STATES, instances.STATES):
        step = next_step(facts(state=moves.STARTING, source_state=source, target_state=target, target_has_run=True))
        assert step.do is Do.FINISH


class World:
    """An instance on one machine, and another machine with an offer."""

    def __init__(self, *, bid: bool = False) -> None:
        self.client = market.user(dollars=100)
        self.here, self.there = market.listed_machine(), market.listed_machine()
        wishes: dict[str, Any] = {"label": "mine", "env": {"A": "b"}, "onstart": "echo", "ports": ((8080, "tcp"),)}
        price = {"bid_micros_per_hour": 300_000} if bid else {}
        made = instance_rent(
            client=self.client, offer_id=market.offer(self.here).pk, request=market.wish(**wishes, **price), now=T0
        )
        self.here.obey(T0)
        self.source = Instance.objects.get(pk=made.pk)
        assert self.source.state == "running"

    def stop(self) -> None:
        instance_stop(instance_id=self.source.pk, actor=self.client, now=T0)
        self.here.obey(T0)

    def begin(self, **values: Any) -> Move:
        offer_id = market.offer(self.there).pk
        wanted: dict[str, Any] = {"source_id": self.source.pk, "offer_id": offer_id, "bid_micros_per_hour": None}
        return move_begin(user=self.client, now=T0, **(wanted | values))

    def sweep(self) -> Move:
        """Until nothing is left to do for now."""
        for _ in range(10):
            if not moves_sweep(now=LATER):
                break
        return Move.objects.select_related("source", "target", "sending", "receiving").get()

    def tell(self, agent: TestAgent, job: Any, state: Any, **told: Any) -> None:
        agent.report(LATER, jobs=[JobReport(job_id=job.pk, state=state, **told)])

    def pack(self) -> Move:
        move = self.sweep()
        self.tell(self.here, move.sending, "running", result={"parcel": PARCEL, "fingerprint": "f"})
        return self.sweep()

    def receive(self) -> Move:
        move = self.pack()
        assert move.state == moves.SENDING
        self.tell(self.there, move.receiving, "done", result={})
        return self.sweep()


pytestmark = pytest.mark.django_db


def test_a_stopped_instance_goes_on_elsewhere_and_is_gone_then() -> None:
    world = World()
    world.stop()
    world.begin()
    move = world.sweep()
    assert move.state == moves.PACKING
    (job,) = world.here.report(LATER).jobs or []
    assert (job.kind, job.task_id, job.arguments["port"]) == ("disk_send", world.source.task_id, world.source.ssh_port)
    token = job.arguments["token"]
    world.pack()
    (job,) = world.there.report(LATER).jobs or []
    assert job.kind == "disk_receive"
    assert job.arguments == {
        "addresses": [["192.0.2.7", world.source.ssh_port]],
        "fingerprint": "f",
        "parcel": PARCEL,
        "token": token,
    }
    assert move.target.state == "stopped"
    assert not move.target.task.gpu_claims.exists()
    world.tell(world.there, Move.objects.get().receiving, "done", result={})
    move = world.sweep()
    assert (move.state, move.target.state) == (moves.STARTING, "loading")
    assert meter_totals_micros([f"instance:{move.target_id}:gpu"], LATER).get(f"instance:{move.target_id}:gpu", 0) == 0
    world.there.obey(LATER)
    move = world.sweep()
    assert (move.state, move.source.state, move.target.state) == (moves.DONE, "destroying", "running")
    assert move.settled_at == LATER
    assert world.here.report(LATER).jobs == []
    target = move.target
    assert (target.label, target.env, target.onstart, target.disk_gb) == ("mine", {"A": "b"}, "echo", 10)
    ports = set(target.task.port_leases.values_list("container_port", flat=True))
    assert ports == {22, 8080}
    for instance in (move.source, target):
        told = list(instance.events.filter(kind="move").order_by("pk").values_list("reason", flat=True))
        assert told == ["asked", "stopping", "packing", "sending", "starting", "done"]


def test_an_interruptible_one_that_runs_is_stopped_and_comes_back_if_the_move_fails() -> None:
    world = World(bid=True)
    world.begin()
    move = world.sweep()
    assert (move.state, move.source.state) == (moves.STOPPING, "stopping")
    world.here.obey(LATER)
    move = world.sweep()
    assert move.state == moves.PACKING
    world.tell(world.here, move.sending, "failed", reason="disk_full", message="No room.")
    move = world.sweep()
    assert (move.state, move.message, move.target.state) == (moves.FAILED, "No room.", "destroying")
    assert move.source.state == "loading"
    world.here.obey(LATER)
    assert Instance.objects.get(pk=world.source.pk).state == "running"


@pytest.mark.parametrize("steps", range(4))
def test_it_can_be_given_up_at_any_point(steps: int) -> None:
    world = World()
    world.stop()
    world.begin()
    [lambda: None, world.sweep, world.pack, world.receive][steps]()
    assert move_cancel(user=world.client, instance_id=world.source.pk, now=LATER)
    move = world.sweep()
    assert (move.state, move.source.state, move.target.state) == (moves.CANCELED, "stopped", "destroying")
    assert world.here.report(LATER).jobs == []
    assert world.there.report(LATER).jobs == []
    assert not move_cancel(user=world.client, instance_id=world.source.pk, now=LATER)
    names = [f"instance:{move.target_id}:{kind}" for kind in ("gpu", "storage")]
    assert sum(meter_totals_micros(names, LATER + timedelta(days=1)).values()) == 0
    instance_start(instance_id=world.source.pk, actor=world.client, now=LATER)


def test_a_target_that_does_not_start_leaves_the_source() -> None:
    world = World()
    world.stop()
    world.begin()
    move = world.receive()
    task = move.target.task
    world.there.report(
        LATER,
        ObservedTask(
            task_id=task.pk, phase="failed", run_generation=1, age_seconds=0.0, reason="gpu_unavailable", message="No."
        ),
    )
    move = world.sweep()
    assert (move.state, move.reason) == (moves.FAILED, "not_started")
    assert (move.source.state, move.target.state) == ("stopped", "destroying")


def test_the_source_can_be_destroyed_once_the_target_has_its_disk() -> None:
    world = World()
    world.stop()
    world.begin()
    world.receive()
    instance_destroy(instance_id=world.source.pk, actor=world.client, now=LATER)
    assert world.sweep().state == moves.STARTING
    world.there.obey(LATER)
    assert world.sweep().state == moves.DONE


def test_neither_runs_meanwhile_and_there_is_one_move_at_a_time() -> None:
    world = World()
    world.stop()
    move = world.begin()
    for instance in (move.source, move.target):
        with pytest.raises(MarketError) as refused:
            instance_start(instance_id=instance.pk, actor=world.client, now=T0)
        assert refused.value.code == "moving"
    with pytest.raises(MarketError, match="being moved already"):
        world.begin()
    assert Move.objects.count() == 1


def test_what_cannot_move_is_refused_and_nothing_is_rented() -> None:
    world = World()
    with pytest.raises(MarketError, match="Stop it first"):
        world.begin()
    world.stop()
    with pytest.raises(MarketError, match="same machine"):
        world.begin(offer_id=market.offer(world.here).pk)
    with pytest.raises(MarketError) as refused:
        world.begin(offer_id=10**9)
    assert refused.value.code == "no_such_ask"
    with pytest.raises(MarketError) as refused:
        world.begin(bid_micros_per_hour=10**9)
    assert refused.value.code == "invalid_price"
    assert Instance.objects.filter(client=world.client).count() == 1


def test_a_worker_that_dies_in_the_middle_of_the_end_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object, **__: object) -> None:
        raise OSError

    world = World()
    world.stop()
    world.begin()
    world.receive()
    world.there.obey(LATER)
    with monkeypatch.context() as patch:
        patch.setattr(service, "instance_destroy_now", dies)
        world.sweep()
    move = Move.objects.get()
    assert (move.state, move.settled_at) == (moves.DONE, None)
    move = world.sweep()
    assert (move.source.state, move.settled_at) == ("destroying", LATER)


def test_a_client_that_can_pay_no_more_keeps_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(**_: object) -> None:
        raise MarketError("no_credit", "Your credit is used up.", status=402)

    world = World()
    world.stop()
    world.begin()
    world.pack()
    with monkeypatch.context() as patch:
        patch.setattr(service, "instance_start", refuses)
        world.tell(world.there, Move.objects.get().receiving, "done", result={})
        move = world.sweep()
    assert (move.state, move.reason, move.message) == (moves.FAILED, "no_credit", "Your credit is used up.")
    assert (move.source.state, move.target.state) == ("stopped", "destroying")
