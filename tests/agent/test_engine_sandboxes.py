"""A container in a runtime of another name on the real engine; the runtime is the usual one, playing a sandbox."""

from typing import Any

import pytest

from agent.engine import docker_engine
from agent.engine.docker_engine import DockerEngine
from agent.engine.nameservers import HOSTS_FILES, reachable
from agent.engine.runtime_types import EngineRuntime
from agent.tasks.plan import Identity, container_plan
from tests.agent.host import Host

pytestmark = pytest.mark.engine

RUNTIME = "io.containerd.runc.v2"


def played(_told: Any) -> tuple[EngineRuntime, ...]:
    return (EngineRuntime(name=RUNTIME, sandbox="kata"),)


def test_it_runs_there_and_asks_nameservers_that_it_reaches(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_engine, "runtimes_of", played)
    engine = DockerEngine()
    identity = Identity(host.market.machine_id, "sandboxes", simulated=True)
    plan = container_plan(identity, host.args_task("exec sleep 1000", sandbox="kata"))
    container_id = engine.create(plan)
    try:
        for _ in range(2):  # the engine writes its own again at each start
            engine.start(container_id)
            container = host.engine.containers.get(container_id)
            assert container.attrs["HostConfig"]["Runtime"] == RUNTIME
            seen = container.exec_run(["cat", "/etc/resolv.conf"]).output
            assert isinstance(seen, bytes)
            servers = reachable([path.read_text() for path in HOSTS_FILES if path.is_file()])
            assert seen.decode().splitlines() == [f"nameserver {server}" for server in servers]
            engine.stop(container_id, 0)
    finally:
        engine.remove(container_id)
    assert not host.engine.networks.list(names=[plan.network])
