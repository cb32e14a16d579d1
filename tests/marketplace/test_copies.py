"""Copies between instances: asked of the target's agent, opened at the source, and closed whatever happens."""

from datetime import timedelta
from typing import Any

import pytest

from agent.job_protocol import JobReport
from agent.protocol import SyncReply
from hosting.domain import jobs
from hosting.models import Job
from marketplace.domain import copies
from marketplace.errors import MarketError
from marketplace.models import Copy, Instance, User
from marketplace.services import copies as service
from marketplace.services.copies import copies_cancel, copies_sweep, copy_begin
from marketplace.services.lifecycle import instance_destroy, instance_reboot, instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db
LATER = T0 + timedelta(minutes=1)


class World:
    """Two running instances of one client, each on a machine of its own."""

    def __init__(self) -> None:
        self.client = market.user(dollars=100)
        self.here, self.there = market.listed_machine(), market.listed_machine()
        self.source, self.target = self.rent(self.there), self.rent(self.here)

    def rent(self, agent: TestAgent, **wishes: object) -> Instance:
        made = instance_rent(client=self.client, offer_id=market.offer(agent).pk, request=market.wish(**wishes), now=T0)
        agent.obey(T0)
        return Instance.objects.get(pk=made.pk)

    def begin(self, **values: Any) -> Copy:
        wanted: dict[str, Any] = {
            "source_id": self.source.pk,
            "target_id": self.target.pk,
            "source_path": "/a/",
            "target_path": "/b",
        }
        return copy_begin(user=self.client, now=T0, **(wanted | values))

    def tell(self, copy: Copy, state: Any, **facts: Any) -> SyncReply:
        assert copy.job is not None
        return self.here.report(LATER, jobs=[JobReport(job_id=copy.job.pk, state=state, **facts)])

    def keys(self) -> list[str]:
        """That open the source to a copy."""
        (task,) = self.there.report(LATER).tasks
        return [key for key in task.authorized_keys if key.startswith("restrict,")]


@pytest.fixture
def world() -> World:
    return World()


def test_the_targets_agent_is_asked_and_the_source_lets_it_in(world: World) -> None:
    copy = world.begin()
    (wanted,) = world.here.report(T0).jobs or []
    assert (wanted.kind, wanted.task_id) == ("copy", world.target.task_id)
    arguments = wanted.arguments
    assert (arguments["source_path"], arguments["target_path"]) == ("/a/", "/b")
    assert arguments["addresses"] == [["192.0.2.7", world.source.ssh_port]]
    assert arguments["private_key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert world.keys() == [copies.key_line(copy.public_key, "/a/", copy.pk)]
    assert world.there.report(T0).jobs == []


def test_the_private_key_is_kept_encrypted_and_only_as_long_as_it_is_needed(world: World) -> None:
    copy = world.begin()
    (row,) = Job.objects.values()
    assert row["sealed"]
    assert "PRIVATE" not in str(row)
    world.tell(copy, "done", result={})
    assert Job.objects.get().sealed == ""


def test_a_copy_that_is_done_closes_the_source(world: World) -> None:
    copy = world.begin()
    world.tell(copy, "running", progress=0.5, message="1.0 GB copied")
    assert copies_sweep(now=LATER) == 0
    assert world.keys()
    world.tell(copy, "done", result={})
    assert copies_sweep(now=LATER) == 1
    copy.refresh_from_db()
    assert (copy.state, copy.ended_at, copy.settled_at) == ("done", LATER, LATER)
    assert world.keys() == []
    assert copies_sweep(now=LATER) == 0
    told = list(world.target.events.filter(kind="copy").order_by("pk").values_list("reason", flat=True))
    assert told == ["begun", "done"]
    assert world.source.events.filter(kind="copy").count() == 2


def test_a_failure_is_told_in_the_agents_words(world: World) -> None:
    copy = world.begin()
    world.tell(copy, "failed", reason="disk_full", message="The target's disk is full.")
    copies_sweep(now=LATER)
    copy.refresh_from_db()
    assert (copy.state, copy.reason, copy.message) == ("failed", "disk_full", "The target's disk is full.")
    assert world.keys() == []


@pytest.mark.parametrize(("which", "reason"), [("source", "source_stopped"), ("target", "target_stopped")])
def test_an_instance_that_stops_ends_the_copy(world: World, which: str, reason: str) -> None:
    copy = world.begin()
    instance_stop(instance_id=getattr(world, which).pk, actor=world.client, now=LATER)
    assert copies_sweep(now=LATER) == 1
    copy.refresh_from_db()
    assert (copy.state, copy.reason) == ("failed", reason)
    assert world.here.report(LATER).jobs == []
    assert world.keys() == []


def test_a_source_that_is_destroyed_ends_the_copy(world: World) -> None:
    copy = world.begin()
    instance_destroy(instance_id=world.source.pk, actor=world.client, now=LATER)
    copies_sweep(now=LATER)
    copy.refresh_from_db()
    assert (copy.state, copy.reason) == ("failed", "source_gone")
    assert world.here.report(LATER).jobs == []


def test_a_source_that_reboots_is_waited_for(world: World) -> None:
    world.begin()
    instance_reboot(instance_id=world.source.pk, actor=world.client, now=LATER)
    assert copies_sweep(now=LATER) == 0


def test_canceling_ends_all_copies_into_an_instance(world: World) -> None:
    copy = world.begin()
    world.begin(source_path="/c")
    assert len(world.keys()) == 2
    assert copies_cancel(user=world.client, target_id=world.target.pk, now=LATER) == 2
    assert world.here.report(LATER).jobs == []
    assert world.keys() == []
    copy.refresh_from_db()
    assert copy.state == "canceled"
    assert copies_cancel(user=world.client, target_id=world.target.pk, now=LATER) == 0


def test_a_server_that_died_before_it_told_the_source_does_so_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(**_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(service, "instance_keep_keys", dies)
        with pytest.raises(SystemExit):
            world.begin()
    assert world.keys() == []
    copies_sweep(now=LATER)
    assert len(world.keys()) == 1


def test_a_server_that_died_while_it_ended_a_copy_closes_the_source_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(**_: object) -> None:
        raise OSError

    copy = world.begin()
    world.tell(copy, "done", result={})
    with monkeypatch.context() as patch:
        patch.setattr(service, "instance_keep_keys", dies)
        copies_sweep(now=LATER)
    copy.refresh_from_db()
    assert (copy.state, copy.settled_at) == ("done", None)
    copies_sweep(now=LATER)
    assert world.keys() == []


def test_what_makes_no_sense_is_refused_and_leaves_nothing(world: World) -> None:
    stranger: User = market.user()
    plain = world.rent(world.here, mode="args")
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"source_id": world.target.pk}, "invalid_args"),
        ({"source_path": "a"}, "invalid_args"),
        ({"target_path": "b\n"}, "invalid_args"),
        ({"source_id": 10**9}, "no_such_instance"),
        ({"user": stranger}, "no_such_instance"),
        ({"source_id": plain.pk}, "no_ssh"),
    ]
    for values, code in refusals:
        wanted: dict[str, Any] = {"user": world.client, "source_id": world.source.pk, "target_id": world.target.pk}
        paths: dict[str, Any] = {"source_path": "/a", "target_path": "/b", "now": T0}
        with pytest.raises(MarketError) as refused:
            copy_begin(**(wanted | paths | values))
        assert refused.value.code == code
    instance_stop(instance_id=world.source.pk, actor=world.client, now=T0)
    with pytest.raises(MarketError, match="have to run") as refused:
        world.begin()
    assert refused.value.code == "not_running"
    assert not Copy.objects.exists()
    assert not Job.objects.exists()


def test_on_one_machine_the_source_is_reached_by_loopback(world: World) -> None:
    beside = world.rent(world.here)
    world.begin(source_id=beside.pk)
    (wanted,) = world.here.report(T0).jobs or []
    assert wanted.arguments["addresses"] == [["127.0.0.1", beside.ssh_port]]


def test_only_so_many_at_a_time(world: World) -> None:
    for _ in range(jobs.KINDS[jobs.COPY].most_open):
        world.begin()
    with pytest.raises(MarketError) as refused:
        world.begin()
    assert (refused.value.code, refused.value.status) == ("too_many_jobs", 429)
