"""A disk on its way from one machine's engine to another's: packed, handed out, fetched, checked and run."""

import itertools
from typing import Any

import pytest

from agent.job_protocol import DesiredJob, JobReport
from agent.protocol import DesiredTask
from scripts.guest_tools import ensure_bundle
from tests.agent.fakes import changed
from tests.agent.host import Host
from tests.agent.job_life import job

pytestmark = pytest.mark.engine

_numbers = itertools.count(2000)
TOKEN = "one-off"


def asked(host: Host, kind: str, task_id: int, arguments: dict[str, Any]) -> DesiredJob:
    wanted = job(next(_numbers), kind=kind, task_id=task_id, arguments=arguments, seconds_left=200.0)
    host.market.ask(wanted)
    return wanted


def facts_of(host: Host, wanted: DesiredJob) -> dict[str, Any]:
    """What a job that goes on has shown."""
    host.market.await_that(
        lambda: any(
            one.job_id == wanted.job_id and (one.result or one.state != "running") for one in host.market.reports
        )
    )
    seen = [one for one in host.market.reports if one.job_id == wanted.job_id][-1]
    assert seen.state == "running", seen
    assert seen.result is not None
    return seen.result


def dropped(host: Host, wanted: DesiredJob) -> None:
    """It is not wanted any more."""
    with host.market.condition:
        assert host.market.jobs is not None
        host.market.jobs.pop(wanted.job_id, None)
        host.market.generation += 1
        host.market.condition.notify_all()


def parcel_from(host: Host, task: DesiredTask) -> tuple[DesiredJob, dict[str, Any]]:
    """A parcel of the task's disk, ready to be fetched, and what its receiver is told."""
    port = task.spec.ports[0].host_port
    sending = asked(host, "disk_send", task.task_id, {"port": port, "token": TOKEN})
    shown = facts_of(host, sending)
    order = {"addresses": [("127.0.0.1", port)], "token": TOKEN, **shown}
    return sending, order


@pytest.fixture
def stopped(host: Host) -> DesiredTask:
    """An instance that has written something and was stopped."""
    host.market.lend(ensure_bundle().read_bytes())
    host.start()
    task = host.task(1)
    host.market.desire(task)
    host.market.await_phase(1, "running")
    host.ssh(
        task, "echo kept >/root/file; rm -f /etc/motd; head -c 20M /dev/urandom >/root/big; md5sum /root/big >/root/sum"
    )
    task = changed(task, state="stopped")
    host.market.desire(task)
    host.market.await_phase(1, "stopped")
    return task


def test_a_disk_arrives_whole_and_runs_elsewhere(host: Host, stopped: DesiredTask) -> None:
    sending, order = parcel_from(host, stopped)
    target = changed(host.task(2), state="stopped", run_generation=0)
    host.market.desire(target)
    end = host.market.end_of(asked(host, "disk_receive", 2, order).job_id)
    assert end.state == "done", end

    running = changed(target, state="running", run_generation=1)
    host.market.desire(running)
    host.market.await_phase(2, "running", 1)
    assert host.ssh(running, "cat /root/file; cd /root; md5sum -c sum").stdout.split()[:2] == ["kept", "/root/big:"]

    dropped(host, sending)
    again = changed(stopped, state="running", run_generation=2)
    host.market.desire(again)
    host.market.await_phase(1, "running", 2)
    assert host.ssh(again, "cat /root/file").stdout == "kept\n"
    host.market.await_that(lambda: not list(host.state.rglob("*.work")))
    assert not [tag for image in host.saved_disks() for tag in image.tags if "sent-" in tag]

    host.market.desire(changed(running, state="removed"), changed(again, state="removed"))
    host.market.await_phase(2, "removed", 1)
    host.market.await_phase(1, "removed", 2)
    assert host.saved_disks() == []


def test_a_killed_agent_goes_on_and_a_target_that_goes_leaves_nothing(host: Host, stopped: DesiredTask) -> None:
    sending, order = parcel_from(host, stopped)
    host.kill()
    host.start()
    host.market.reports.clear()
    shown = facts_of(host, sending)
    assert shown["parcel"] == order["parcel"]
    target = changed(host.task(2), state="stopped", run_generation=0)
    host.market.desire(target)
    end = host.market.end_of(asked(host, "disk_receive", 2, order | shown).job_id)
    assert end.state == "done", end
    host.market.desire(changed(target, state="removed"))
    host.market.await_phase(2, "removed", 0)
    assert [tag for image in host.saved_disks() for tag in image.tags] == []


def test_what_is_not_what_was_announced_is_not_taken(host: Host, stopped: DesiredTask) -> None:
    _, order = parcel_from(host, stopped)
    host.market.desire(changed(host.task(2), state="stopped", run_generation=0))
    parts = order["parcel"]["parts"]
    spoilt = order | {"parcel": order["parcel"] | {"parts": [parts[0] | {"sha256": "0" * 64}, *parts[1:]]}}
    end: JobReport = host.market.end_of(asked(host, "disk_receive", 2, spoilt).job_id)
    assert (end.state, end.reason) == ("failed", "checksum_mismatch")
    assert [tag for image in host.saved_disks() for tag in image.tags] == []
