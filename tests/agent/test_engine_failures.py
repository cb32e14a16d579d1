"""What goes wrong on the real engine, and how the client is told."""

import socket
import uuid

import pytest

from agent.engine.docker_engine import DockerEngine
from agent.engine.types import TaskError
from agent.protocol import DesiredTask, ObservedTask, PortMapping
from agent.tasks.plan import Identity, container_plan
from tests.agent.fakes import changed
from tests.agent.host import Host
from tests.agent.relay import EngineRelay

pytestmark = pytest.mark.engine


def failure(host: Host, wish: DesiredTask, phase: str = "failed") -> ObservedTask:
    """How the task ends up."""
    host.start()
    host.market.desire(wish)
    return host.market.await_phase(wish.task_id, phase)  # type: ignore[arg-type]  # one of the literals


def test_image_that_does_not_exist(host: Host) -> None:
    # A registry that is not there answers like one without the image, only faster.
    image = f"127.0.0.1:9/nobody/{uuid.uuid4().hex}:1"
    told = failure(host, host.task(image=image))
    assert told.reason == "image_pull_failed"
    assert told.message == f"The registry of {image} can't be reached from the host."
    assert host.containers() == []
    assert ("pulling", 1) in host.market.phases(1)


def test_image_name_that_is_none(host: Host) -> None:
    told = failure(host, host.task(image="Not A Name"))
    assert told.reason == "image_missing"
    assert "not a valid image name" in told.message or "not valid" in told.message


def test_port_in_use_then_free(host: Host) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))  # noqa: S104 - as the engine will
        other.listen()
        port = int(other.getsockname()[1])
        wish = host.task(ports=[PortMapping(container_port=22, host_port=port)])
        told = failure(host, wish)
        assert told.reason == "port_taken"
        assert told.message == f"Port {port} on the host is already in use by another program."
        assert host.container().status == "created"
    host.market.desire(changed(wish, run_generation=2))
    host.market.await_phase(1, "running", 2)
    assert len(host.containers()) == 1


def test_port_in_use_at_a_restart(host: Host) -> None:
    wish = host.task(onstart="echo run >>/root/runs\n")
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running", 1)
    host.market.desire(changed(wish, state="stopped"))
    host.market.await_phase(1, "stopped")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", wish.spec.ports[0].host_port))  # noqa: S104 - as the engine will
        other.listen()
        host.market.desire(changed(wish, run_generation=2))
        assert host.market.await_phase(1, "failed", 2).reason == "port_taken"
    again = changed(wish, run_generation=3)
    host.market.desire(again)
    host.market.await_phase(1, "running", 3)
    assert host.ssh(again, "cat /root/runs").stdout == "run\nrun\n"


def test_image_without_ssh_server(host: Host) -> None:
    told = failure(host, host.task(kind="nosshd"))
    assert (told.reason, told.exit_code) == ("no_ssh_server", 117)
    assert told.message.startswith("The image has no SSH server, and this host has none to lend to it now.")


def test_image_without_shell(host: Host) -> None:
    told = failure(host, host.task(kind="noshell"))
    assert told.reason == "no_shell"
    assert told.message == "The image has no /bin/sh, which an SSH instance needs."


def test_command_that_does_not_exist(host: Host) -> None:
    told = failure(host, host.args_task("", args=["/no/such/program"]), "exited")
    assert (told.reason, told.exit_code) == ("command_not_found", 127)


def test_command_eats_more_memory_than_rented(host: Host) -> None:
    told = failure(host, host.args_task("exec tail /dev/zero", ram_mb=32), "exited")
    assert (told.reason, told.exit_code) == ("out_of_memory", 137)


def test_host_whose_disk_is_nearly_full_starts_nothing(host: Host) -> None:
    host.extra_options = ["--disk-floor-gb", "100000000"]
    told = failure(host, host.task())
    assert told.reason == "disk_full"
    assert host.containers() == []


def test_gpu_where_there_is_no_driver(host: Host) -> None:
    engine = DockerEngine()
    engine.info()
    if "nvidia" in host.engine.info()["Runtimes"]:
        pytest.skip("this engine has NVIDIA's runtime")
    real = Identity(1, uuid.uuid4().hex, simulated=False)
    plan = container_plan(real, host.task(gpu_uuids=["GPU-1"]))
    container_id = engine.create(plan)
    try:
        with pytest.raises(TaskError) as caught:
            engine.start(container_id)
    finally:
        engine.remove(container_id)
    assert caught.value.reason == "gpu_unavailable"


def test_engine_that_goes_away_and_comes_back(host: Host) -> None:
    with EngineRelay(host.state.parent / "engine.sock") as relay:
        host.environment = {"DOCKER_HOST": relay.address}
        first, second = host.task(1), host.task(2)
        host.start()
        host.market.desire(first)
        host.market.await_phase(1, "running")
        relay.cut()
        host.market.await_that(lambda: host.market.syncs[-1].engine_error is not None)
        host.market.desire(second)
        failed = host.market.await_phase(2, "failed")
        assert failed.reason == "engine_down"
        told = host.market.observed(1)
        assert told is not None
        assert told.phase == "running"
        assert host.ssh(first, "echo alive").stdout == "alive\n"
        relay.restore()
        host.market.await_phase(2, "running", 1)
        host.market.await_that(lambda: host.market.syncs[-1].engine_error is None)
