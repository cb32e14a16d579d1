"""Which sandboxes an engine has, which of them keep the agent's promises, and that none is ever left out."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.inspected import has_user_namespaces
from agent.engine.nameservers import USUAL, point_at_nameservers, reachable
from agent.engine.runtime_types import EngineRuntime
from agent.engine.sandboxes import obstacles, runtimes_of
from agent.engine.types import EngineInfo
from agent.inventory.collect import Surroundings, collect
from agent.inventory.host import HostOptions
from agent.inventory.simulated import SimulatedMachine
from agent.protocol import ContainerSpec, Inventory, decode, encode
from tests.agent.fakes import FakeEngine, Life, task

PROPER = ["--overlay2=none", "--file-access=shared", "--nvproxy"]
PLAIN: dict[str, Any] = {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"}}
NAME = "spotyard-7-1-01234567"


def gvisor(*flags: str, name: str = "runsc") -> EngineRuntime:
    return EngineRuntime(name=name, sandbox="gvisor", flags=flags)


KATA = EngineRuntime(name="kata", sandbox="kata")


@pytest.mark.parametrize(
    ("name", "facts", "sandbox"),
    [
        ("runsc", {"path": "/usr/local/bin/runsc"}, "gvisor"),
        ("safe", {"path": "/usr/bin/runsc", "runtimeArgs": ["--debug"]}, "gvisor"),
        ("safe", {"runtimeType": "io.containerd.runsc.v1"}, "gvisor"),
        ("runsc", {}, None),
        ("io.containerd.runsc.v1", None, "gvisor"),
        ("kata", {"runtimeType": "io.containerd.kata.v2"}, "kata"),
        ("vm", {"runtimeType": "/opt/kata/bin/containerd-shim-kata-v2"}, "kata"),
        ("vm", {"path": "/usr/bin/kata-runtime"}, "kata"),
        ("runsc", {"path": "runc"}, None),
        ("nvidia", {"path": "nvidia-container-runtime", "runtimeArgs": []}, None),
    ],
)
def test_a_runtime_is_known_by_what_it_runs(name: str, facts: dict[str, Any] | None, sandbox: str | None) -> None:
    found = runtimes_of(PLAIN | {name: facts})
    assert [(one.name, one.sandbox) for one in found] == ([] if sandbox is None else [(name, sandbox)])


def test_an_engine_that_tells_of_none_has_none() -> None:
    assert runtimes_of(None) == runtimes_of(PLAIN) == ()
    assert obstacles((), real_gpus=True) == {}


@pytest.mark.parametrize(
    ("flags", "missing"),
    [
        (PROPER, ""),
        (["-overlay2=none", "-file-access=shared", "-nvproxy=true"], ""),
        ([], "--overlay2=none --file-access=shared --nvproxy=true"),
        (PROPER[:2], "--nvproxy=true"),
        ([*PROPER, "--overlay2=root:self"], "--overlay2=none"),
        ([*PROPER, "--nvproxy=false"], "--nvproxy=true"),
    ],
)
def test_gvisor_needs_the_flags_that_keep_disks_keys_and_gpus(flags: list[str], missing: str) -> None:
    (said,) = obstacles([gvisor(*flags)], real_gpus=True).values()
    assert (missing in said) if missing else (said == "")


def test_simulated_gpus_need_no_way_to_the_driver_and_real_ones_rule_kata_out() -> None:
    both = [gvisor(*PROPER[:2]), KATA]
    assert obstacles(both, real_gpus=False) == {"gvisor": "", "kata": ""}
    real = obstacles(both, real_gpus=True)
    assert list(real) == ["gvisor", "kata"]
    assert all(real.values())


def test_of_two_runtimes_the_one_that_works_is_taken() -> None:
    engine = FakeEngine(runtimes=(gvisor(name="runsc"), gvisor(*PROPER, name="runsc-gpu")))
    assert obstacles(engine.info().runtimes, real_gpus=True) == {"gvisor": ""}
    engine.runtimes = (*engine.runtimes, KATA)
    assert obstacles(engine.info().runtimes, real_gpus=False) == {"gvisor": "", "kata": ""}


def test_a_task_runs_in_the_sandbox_that_its_spec_names(tmp_path: Path) -> None:
    engine = FakeEngine(runtimes=(gvisor(*PROPER), KATA))
    life = Life(engine, tmp_path)
    life.want(task(1, sandbox="gvisor"), task(2, sandbox="kata"), task(3))
    assert [engine.ran_in[name] for name in sorted(engine.ran_in)] == ["runsc", "kata", None]
    assert engine.labels[NAME]["spotyard.sandbox"] == "gvisor"
    assert "spotyard.sandbox" not in engine.labels["spotyard-7-3-01234567"]


@pytest.mark.parametrize("runtimes", [(), (KATA,), (gvisor(),)])
def test_where_the_sandbox_is_missing_nothing_runs_at_all(tmp_path: Path, runtimes: tuple[EngineRuntime, ...]) -> None:
    engine = FakeEngine(runtimes=runtimes)
    life = Life(engine, tmp_path)
    life.want(task(1, sandbox="gvisor"))
    assert engine.containers == {}
    seen = life.seen()
    assert seen is not None
    assert (seen[0], seen[2]) == ("failed", "engine_error")
    assert "gVisor" in life.reconciler.observed()[0].message


def test_on_other_gpus_a_task_keeps_its_sandbox(tmp_path: Path) -> None:
    engine = FakeEngine(runtimes=(gvisor(*PROPER),))
    life = Life(engine, tmp_path)
    life.want(task(1, sandbox="gvisor"))
    life.want(task(1, sandbox="gvisor", state="stopped"))
    life.want(task(1, sandbox="gvisor", run_generation=2, gpu_uuids=["GPU-2"]))
    assert [plan.sandbox for plan in engine.plans] == ["gvisor", "gvisor"]
    assert engine.ran_in == {NAME: "runsc"}


def test_the_inventory_tells_sandboxes_and_user_namespaces() -> None:
    machine = SimulatedMachine("RTX 3090", "seed", HostOptions())
    engine = EngineInfo(version="1", cpus=1, ram_mb=1, data_root="/", runtimes=(gvisor(),), user_namespaces=True)
    around = Surroundings(port_first=1, port_last=2, public_address=None, geolocation=None, engine=engine)
    found = decode(Inventory, encode(collect(machine, machine, around)))
    assert list(found.sandboxes) == ["gvisor"]
    assert "--overlay2=none --file-access=shared" in found.sandboxes["gvisor"]
    assert "nvproxy" not in found.sandboxes["gvisor"]
    assert found.user_namespaces


def test_ends_that_know_no_sandboxes_go_on() -> None:
    spec = task().spec
    told = msgspec.json.decode(encode(spec))
    del told["sandbox"]
    assert decode(ContainerSpec, msgspec.json.encode(told)) == spec


@pytest.mark.parametrize(
    ("options", "on"),
    [
        (None, False),
        (["name=seccomp,profile=default", "name=cgroupns"], False),
        (["name=seccomp,profile=default", "name=userns"], True),
        (["name=usernsx"], False),
    ],
)
def test_user_namespaces_are_seen_in_what_the_engine_says(options: list[str] | None, on: bool) -> None:
    assert has_user_namespaces({"SecurityOptions": options}) is on


@pytest.mark.parametrize(
    ("texts", "servers"),
    [
        ([], list(USUAL)),
        (["nameserver 127.0.0.53\noptions edns0\n", "nameserver 192.168.1.1\n"], list(USUAL)),
        (["# nameserver 9.9.9.9\nnameserver 9.9.9.9\nnameserver fe80::1\nnameserver\n"], ["9.9.9.9"]),
        (["nameserver 1.0.0.1", "nameserver 1.0.0.1\nnameserver 8.8.4.4"], ["1.0.0.1", "8.8.4.4"]),
    ],
)
def test_only_nameservers_that_guests_reach_are_named(texts: list[str], servers: list[str]) -> None:
    assert reachable(texts) == servers


@given(st.lists(st.text(max_size=60)))
def test_any_text_gives_some_nameservers(texts: list[str]) -> None:
    assert 1 <= len(reachable(texts)) <= 3


def test_the_file_is_changed_in_place(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 127.0.0.11\noptions edns0 trust-ad ndots:0\n" * 20)
    number = file.stat().st_ino
    assert point_at_nameservers(file) is None
    assert file.stat().st_ino == number
    assert reachable([file.read_text()]) == [line.split()[1] for line in file.read_text().splitlines()]
    assert point_at_nameservers(tmp_path / "gone") is not None
    assert not (tmp_path / "gone").exists()
