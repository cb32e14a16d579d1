"""Logs and commands on the real engine, through the agent's own process."""

import itertools
from pathlib import Path

import docker
import pytest

from agent.job_protocol import DesiredJob, JobReport
from tests.agent.fakes import changed
from tests.agent.host import Host
from tests.agent.job_life import job

pytestmark = pytest.mark.engine

_numbers = itertools.count(1)
OUTPUT_BYTES = 64 * 1024


def order(kind: str, command: str = "", **changes: object) -> DesiredJob:
    values: dict[str, object] = {
        "kind": kind,
        "arguments": {"command": command, "disk_gb": 5},
        "most_output_bytes": OUTPUT_BYTES,
    }
    return job(next(_numbers), **(values | changes))


def carried_out(host: Host, wanted: DesiredJob) -> tuple[JobReport, str]:
    """The job's end, and its output."""
    host.market.ask(wanted)
    end = host.market.end_of(wanted.job_id)
    return end, host.market.outputs.get(wanted.job_id, b"").decode(errors="replace")


def run(host: Host, command: str, **changes: object) -> tuple[int | None, str]:
    """Exit code and output of a command that could be tried."""
    end, output = carried_out(host, order("execute", command, **changes))
    assert end.state == "done", end
    assert end.result is not None
    return end.result["exit_code"], output


@pytest.fixture
def running(host: Host) -> Host:
    """A container that has written a little and waits."""
    host.start()
    host.market.desire(host.args_task("echo out; echo err >&2; printf 'a\\377\\033[31mred\\n'; exec sleep 1000"))
    host.market.await_phase(1, "running")
    host.market.await_that(lambda: b"red" in host.container().logs())
    return host


def test_logs_and_commands_of_a_running_container(running: Host) -> None:
    end, text = carried_out(running, order("logs"))
    assert end.result == {"present": True, "cut": False}
    assert sorted(text.splitlines()) == ["a\ufffd\x1b[31mred", "err", "out"]
    assert run(running, "id -u; echo oops >&2; exit 3") == (3, "0\noops\n")
    code, text = run(running, "echo fine; if")
    assert (code, "syntax error" in text) == (2, True)
    assert run(running, "sleep 1000 & echo begun") == (0, "begun\n")
    code, text = run(running, "yes | head -c 3000000; echo end")
    assert code == 0
    assert len(text) < OUTPUT_BYTES
    assert "bytes left out]" in text
    assert text.endswith("end\n")


def test_a_command_that_takes_too_long_is_ended_with_what_it_began(running: Host) -> None:
    host = running
    end, text = carried_out(host, order("execute", "sleep 7654 & echo begun; sleep 7655", seconds_left=2.0))
    assert end.result == {"exit_code": None, "where": "container", "ended_by": "time"}
    assert text == "begun\n"
    assert "765" not in host.execute("ps")
    end, _ = carried_out(host, order("execute", "yes"))
    assert end.result is not None
    assert end.result["ended_by"] == "flood"


def test_an_image_without_a_shell_says_so(host: Host) -> None:
    host.start()
    host.market.desire(host.task(1, "noshell", mode="args", args=["/bin/sleep", "1000"], ports=[]))
    host.market.await_phase(1, "running")
    end, _ = carried_out(host, order("execute", "ls"))
    assert (end.state, end.reason) == ("failed", "no_shell")
    assert "no shell" in end.message


def test_a_log_is_followed_while_somebody_looks(host: Host) -> None:
    host.start()
    host.market.desire(host.args_task("echo first; while [ ! -e /go ]; do sleep 0.1; done; echo second; sleep 1000"))
    host.market.await_phase(1, "running")
    wanted = order("follow", most_output_bytes=0)
    host.market.ask(wanted)
    host.market.await_that(lambda: host.market.outputs.get(wanted.job_id) == b"first\n")
    host.execute("touch", "/go")
    host.market.await_that(lambda: host.market.outputs[wanted.job_id] == b"first\nsecond\n")
    host.market.watched = False
    assert host.market.end_of(wanted.job_id).state == "done"


def stop(host: Host) -> None:
    host.market.desire(changed(host.market.tasks[1], state="stopped"))
    host.market.await_phase(1, "stopped")


def test_files_of_a_stopped_container(running: Host) -> None:
    host = running
    host.execute("sh", "-c", "mkdir -p /root/deep/er; echo one >/root/a.txt; echo two >'/root/b c.txt'")
    host.execute("sh", "-c", "head -c 3000000 /dev/zero >/root/big; ln -s b /root/deep/link")
    host.execute("sh", "-c", "echo evil >/root/os.py; mkfifo /root/pipe")
    stop(host)
    assert run(host, "cat /root/*.txt") == (0, "one\ntwo\n")
    assert run(host, "head -n 1 '/root/b c.txt' /root/a.txt")[1].endswith("==> /root/a.txt <==\none\n")
    assert run(host, "du -sm /root/big")[1].split() == ["3", "/root/big"]
    assert run(host, "find /root -name '*.t?t' -type f")[1].split("\n")[0] == "/root/a.txt"
    assert run(host, "mkdir -p /new/place") == (0, "")
    assert run(host, "cp -r /root/deep /new/place") == (0, "")
    assert run(host, "mv /root/a.txt /new") == (0, "")
    assert run(host, "rm /root/big /root/nothing") == (1, "rm: /root/nothing: No such file or directory\n")
    assert run(host, "ls -R /new") == (
        0,
        "/new:\na.txt\nplace\n\n/new/place:\ndeep\n\n/new/place/deep:\ner\nlink\n\n/new/place/deep/er:\n",
    )
    assert run(host, "cat /root/pipe")[0] == 1
    assert run(host, "nvidia-smi")[0] == 127
    assert run(host, "ls / > /x")[0] == 2
    assert run(host, "ls 'never closed")[0] == 2
    assert run(host, "rm -rf /../..")[0] == 2
    wish = changed(host.market.tasks[1], state="running", run_generation=2)
    host.market.desire(wish)
    host.market.await_phase(1, "running", 2)
    assert host.execute("sh", "-c", "cat /new/a.txt; ls /root") == "one\nb c.txt\ndeep\nos.py\npipe\n"


def test_no_way_leads_from_a_stopped_disk_to_the_host(running: Host, tmp_path: Path) -> None:
    host = running
    secret = tmp_path / "secret"
    secret.write_text("the host's own\n")
    links = f"ln -s {secret} /file; ln -s {tmp_path} /dir; ln -s ../../../../../../../../..{tmp_path} /up; ln -s / /all"
    host.execute("sh", "-c", f"{links}; ln -s /proc/1/root /proot; ln -s . /self; mkdir -p /var/lib/docker")
    stop(host)
    for command in (
        f"cat {secret}",
        "cat /file /dir/secret /up/secret",
        f"cat ../../../../..{secret}",
        f"cat /proot{secret} /proc/1/root{secret} /proc/self/cwd{secret} /self/self{secret}",
        "rm -rf /dir/secret /up/secret /all/../../..",
        f"mv /file /moved{'/..' * 20}{secret}",
        f"cp /bin/busybox {secret}",
        "cp /bin/busybox /dir/planted",
        f"touch /up/planted {tmp_path}/planted",
        f"mkdir -p {tmp_path}/made",
    ):
        _, output = run(host, command)
        assert "the host's own" not in output
        assert secret.read_text() == "the host's own\n", command
        assert not (tmp_path / "planted").exists(), command
        assert not (tmp_path / "made").exists(), command
    assert str(host.state) not in Path("/proc/self/mountinfo").read_text(), "mounted for nobody else to see"


def test_a_volume_is_part_of_the_disk_and_a_start_ends_who_looks(host: Host) -> None:
    host.start()
    wish = host.task(1, "opinionated", mode="args", args=["exec sleep 1000"], ports=[])
    host.market.desire(wish)
    host.market.await_phase(1, "running")
    host.container().exec_run(["sh", "-c", "echo kept >/data/file; mkfifo /tmp/p"], user="0")
    stop(host)
    assert run(host, "cat /data/file") == (0, "kept\n")
    assert run(host, "rm /data/file") == (0, "")
    host.market.desire(changed(wish, state="running", run_generation=2))
    host.market.await_phase(1, "running", 2)
    assert host.execute("ls", "/data") == ""


def test_killed_before_and_after_a_command_it_is_never_run_twice(running: Host) -> None:
    host = running
    for point in ("job_noted", "job_carried_out", "job_over", "job_output_sent"):
        host.kill()
        host.start(kill_at=point)
        wanted = order("execute", f"echo {point} >>/root/done; echo told")
        host.market.ask(wanted)
        host.await_death()
        host.start()
        end = host.market.end_of(wanted.job_id)
        lines = host.execute("sh", "-c", "touch /root/done; cat /root/done").split()
        if point in ("job_noted", "job_carried_out"):
            assert (end.state, end.reason) == ("failed", "interrupted")
        else:
            assert (end.state, host.market.outputs[wanted.job_id]) == ("done", b"told\n")
        assert lines.count(point) == (0 if point == "job_noted" else 1)


def test_a_question_is_asked_again_where_the_agent_was_killed_meanwhile(running: Host) -> None:
    host = running
    for point in ("job_noted", "job_carried_out", "job_over", "job_output_sent"):
        host.kill()
        host.start(kill_at=point)
        words = ["sh", "-c", f"echo {point} >>/root/asked; echo 'told $HOME'"]
        wanted = order("ask", arguments={"words": words})
        host.market.ask(wanted)
        host.await_death()
        host.start()
        end = host.market.end_of(wanted.job_id)
        assert (end.state, end.result) == ("done", {"exit_code": 0, "ended_by": ""})
        assert host.market.outputs[wanted.job_id] == b"told $HOME\n"
        asked = host.execute("cat", "/root/asked").split().count(point)
        assert asked == (2 if point == "job_carried_out" else 1)


def test_the_log_outlives_its_container_and_a_server_that_is_away(running: Host, engine: docker.DockerClient) -> None:
    host = running
    container = str(host.container().id)
    host.market.takes_logs = False
    host.market.desire(changed(host.market.tasks[1], state="removed"))
    host.market.await_phase(1, "removed")
    assert not engine.containers.list(all=True, filters={"id": container})
    host.market.takes_logs = True
    host.kill()
    host.start()
    host.market.await_that(lambda: (1, container) in host.market.logs)
    assert b"out\n" in host.market.logs[1, container]


def test_what_the_on_start_script_writes_is_in_the_log(host: Host) -> None:
    host.start()
    host.market.desire(host.task(1, onstart="echo from the script\nno_such_program\n"))
    host.market.await_phase(1, "running")

    def told() -> bool:
        text = host.container().logs().decode()
        return "from the script" in text and "no_such_program: not found" in text

    host.market.await_that(told)
    assert "from the script" in host.read("/var/log/onstart.log")
