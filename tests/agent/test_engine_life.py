"""Tasks on the real engine, from their start to their removal, as a client and the server see them."""

import pytest

from tests.agent.fakes import changed
from tests.agent.host import Host

pytestmark = pytest.mark.engine

RECORD = "echo run of $VAST_CONTAINERLABEL with $GREETING >>/root/runs\n"


def test_ssh_instance_from_start_to_removal(host: Host) -> None:
    wish = host.task(5, onstart=RECORD, env={"GREETING": "a b 'c' $HOME", "LINES": "1\n2"})
    host.start()
    host.market.desire(wish)
    host.market.await_phase(5, "running", 1)

    look = "echo $(hostname) $VAST_CONTAINERLABEL; echo $GREETING; echo $IMAGE_SAYS; cat /root/runs"
    assert host.ssh(wish, f"{look}; echo kept >/root/file").stdout.splitlines() == [
        "C.5 C.5",
        "a b 'c' $HOME",
        "hello",
        "run of C.5 with a b 'c' $HOME",
    ]
    assert "/opt/tools/bin" in host.ssh(wish, "echo $PATH").stdout

    host.market.desire(changed(wish, state="stopped"))
    host.market.await_phase(5, "stopped")
    assert host.container(5).status == "exited"

    again = changed(wish, run_generation=2)
    host.market.desire(again)
    host.market.await_phase(5, "running", 2)
    assert host.ssh(again, "cat /root/file; wc -l </root/runs").stdout.split() == ["kept", "2"]
    assert "REMOTE HOST IDENTIFICATION" not in host.ssh(again, "true").stderr

    host.market.desire(changed(again, state="removed"))
    host.market.await_phase(5, "removed")
    assert host.containers(5) == []
    assert list(host.memories.iterdir()) == []
    host.market.drop(5)
    host.market.await_that(lambda: host.market.observed(5) is None)
    host.end()
    assert "a b 'c'" not in host.output
    assert host.public_key.split()[1] not in host.output


def test_password_and_foreign_keys_are_refused(host: Host) -> None:
    wish = host.task(authorized_keys=[])
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running")
    refused = host.ssh(wish, "true")
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr


def test_keys_change_while_it_runs(host: Host) -> None:
    wish = host.task(authorized_keys=[])
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running")
    started_at = host.container().attrs["State"]["StartedAt"]
    host.market.desire(changed(wish, authorized_keys=[host.public_key]))
    digest_file = host.memories / "task-1.json"
    before = digest_file.read_text()
    # The key file changes without any change of phase, so there is nothing to be told: watch the agent's memory.
    host.market.await_that(lambda: digest_file.read_text() != before)
    assert host.ssh(wish, "echo in").stdout == "in\n"
    assert host.container().attrs["State"]["StartedAt"] == started_at


def test_dropbear_serves_as_well(host: Host) -> None:
    wish = host.task(kind="dropbear", onstart=RECORD)
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running")
    assert host.ssh(wish, "hostname; echo $VAST_CONTAINERLABEL; cat /root/runs").stdout.splitlines() == [
        "C.1",
        "C.1",
        "run of C.1 with hello",
    ]


def test_programs_of_the_client_are_asked_to_end_and_may_save(host: Host) -> None:
    onstart = "trap 'echo saved >/root/saved; exit' TERM\nwhile :; do sleep 0.05; done\n"
    wish = host.task(onstart=onstart, stop_grace_seconds=10)
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running")
    host.market.desire(changed(wish, state="stopped"))
    host.market.await_phase(1, "stopped")
    assert host.container().attrs["State"]["ExitCode"] == 143
    host.market.desire(changed(wish, run_generation=2))
    host.market.await_phase(1, "running", 2)
    assert host.ssh(wish, "cat /root/saved").stdout == "saved\n"


def test_client_may_edit_its_onstart_script(host: Host) -> None:
    wish = host.task(onstart="echo original >>/root/runs\n")
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running")
    host.ssh(wish, "printf '#!/bin/sh\\necho edited >>/root/runs\\n' >/root/onstart.sh")
    host.market.desire(changed(wish, run_generation=2))
    host.market.await_phase(1, "running", 2)
    assert host.ssh(wish, "cat /root/runs").stdout.split() == ["original", "edited"]


def test_command_runs_once_for_every_run_asked_for(host: Host) -> None:
    wish = host.args_task("echo run >>/runs; [ $(wc -l </runs) -lt 2 ] && exit 7; sleep 1000")
    host.start()
    host.market.desire(wish)
    ended = host.market.await_phase(1, "exited", 1)
    assert (ended.exit_code, ended.reason) == (7, "exited")
    assert ended.message == "The instance's main process ended with exit code 7."
    host.market.desire(changed(wish, run_generation=2))
    host.market.await_phase(1, "running", 2)
    assert host.read("/runs").split() == ["run", "run"]


def test_restart_stops_the_older_run_first(host: Host) -> None:
    wish = host.args_task("echo run >>/runs; exec sleep 1000")
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running", 1)
    host.market.desire(changed(wish, run_generation=2, stop_grace_seconds=0))
    host.market.await_phase(1, "running", 2)
    assert host.read("/runs").split() == ["run", "run"]


def test_containers_live_without_their_agent(host: Host) -> None:
    wish = host.task()
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running")
    started_at = host.container().attrs["State"]["StartedAt"]
    host.end()
    assert host.ssh(wish, "echo alive").stdout == "alive\n"
    sessions = {sync.session_id for sync in host.market.syncs}
    host.start()
    host.market.await_that(lambda: host.market.syncs[-1].session_id not in sessions)
    first = next(sync for sync in host.market.syncs if sync.session_id not in sessions)
    assert [(told.phase, told.run_generation) for told in first.tasks] == [("running", 1)]
    assert first.tasks[0].age_seconds > 0
    assert host.container().attrs["State"]["StartedAt"] == started_at


def test_end_while_the_agent_was_away_is_told_with_its_age(host: Host) -> None:
    wish = host.args_task("exec sleep 1000")
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running")
    host.end()
    host.container().kill()
    host.start()
    ended = host.market.await_phase(1, "exited")
    assert (ended.exit_code, ended.age_seconds > 0.1) == (137, True)


def test_container_killed_by_others_is_told_at_once(host: Host) -> None:
    wish = host.task()
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running")
    host.container().kill()
    ended = host.market.await_phase(1, "exited")
    assert (ended.exit_code, ended.reason) == (137, "exited")


def test_a_slow_task_delays_no_other(host: Host) -> None:
    slow = host.args_task("trap '' TERM; while :; do sleep 0.1; done", 1, stop_grace_seconds=600)
    quick = host.task(2)
    host.start()
    host.market.desire(slow)
    host.market.await_phase(1, "running")
    host.market.desire(changed(slow, state="stopped"), quick)
    host.market.await_phase(2, "running")
    assert host.market.observed(1) is not None
    assert host.market.phases(1)[-1] == ("stopping", 1)
    host.container(1).kill()
    host.market.await_phase(1, "stopped")
