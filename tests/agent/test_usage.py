"""What a task's disk use consists of, and how often it is looked at."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from agent.engine import volumes
from agent.engine.docker_engine import DockerEngine
from agent.engine.types import ContainerGoneError, TaskError
from agent.protocol import DesiredTask
from agent.tasks.memory import TrafficStore
from agent.tasks.plan import Identity, container_plan
from agent.usage import UsageSampler, disk_pause_seconds
from scripts.services.launching import wait_until
from tests import images
from tests.agent.fakes import FakeEngine, Life, task

_MB = 1 << 20


def write(path: Path, size_mb: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size_mb * _MB)


def volume(source: Path | str) -> dict[str, object]:
    return {"Type": "volume", "Source": str(source)}


def test_volumes_are_sized_as_the_disk_sees_them(tmp_path: Path) -> None:
    first, second, outside = tmp_path / "first", tmp_path / "-second", tmp_path / "outside"
    write(first / "deep" / "file", 3)
    os.link(first / "deep" / "file", first / "same file")
    write(second / "file", 2)
    write(outside / "file", 50)
    (second / "link").symlink_to(outside)
    with (first / "sparse").open("wb") as sparse:
        sparse.truncate(500 * _MB)
    assert volumes.used_mb([volume(first), volume(second), {"Type": "bind", "Source": str(outside)}]) == 5


@pytest.mark.parametrize("mounts", [[], [volume("/no/such/volume")], [volume("")], [{"Type": "volume"}]])
def test_volumes_that_cannot_be_read_count_nothing(mounts: list[dict[str, object]]) -> None:
    assert volumes.used_mb(mounts) == 0


def test_a_look_that_takes_too_long_does_not_say_that_nothing_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "file", 2)
    monkeypatch.setattr(volumes, "_LONGEST_LOOK_SECONDS", 0.0)
    with pytest.raises(TaskError):
        volumes.used_mb([volume(tmp_path)])


@pytest.mark.parametrize(("took_seconds", "pause_seconds"), [(0.0, 0.0), (0.5, 10.0), (3.0, 60.0), (100.0, 60.0)])
def test_a_slow_look_is_repeated_after_a_minute_at_most(took_seconds: float, pause_seconds: float) -> None:
    assert disk_pause_seconds(took_seconds) == pause_seconds


def test_task_over_its_disk_is_ended(tmp_path: Path) -> None:
    life = Life(FakeEngine(used_mb=5 * 1024 + 1), tmp_path)
    life.want(task(disk_gb=5))
    sampler = UsageSampler(life.engine)
    sampler.watch(life.reconciler, TrafficStore(tmp_path))
    sampler.sample()
    life.pool.run()
    assert life.seen() == ("exited", 1, "disk_limit")


def test_that_a_disk_is_full_and_that_it_is_not_any_more_is_told_at_once(tmp_path: Path) -> None:
    life = Life(FakeEngine(used_mb=4 * 1024), tmp_path)
    life.want(task(disk_gb=5))
    sampler = UsageSampler(life.engine)
    sampler.watch(life.reconciler, TrafficStore(tmp_path))
    told = []
    for used_mb in (4 * 1024, 5 * 1024, 5 * 1024, 1024):
        life.engine.used_mb = used_mb
        sampler._next_disk_look.clear()
        life.changes.clear()
        sampler.sample()
        told.append(life.changes == [True])
    assert told == [False, True, False, True]


@pytest.fixture
def with_volume() -> Iterator[str]:
    """An image that declares a volume."""
    engine = docker.from_env()
    base, name = images.build("nosshd", engine), f"spotyard-test:volume-{uuid.uuid4().hex[:8]}"
    made = engine.containers.create(base, ["true"])
    try:
        made.commit(*name.split(":"), changes=["VOLUME /data"])
    finally:
        made.remove()
    yield name
    engine.images.remove(name)


@pytest.fixture
def run() -> Iterator[Callable[[DesiredTask], tuple[DockerEngine, str]]]:
    """Starts a container made as the agent makes them."""
    engine, made = DockerEngine(), []

    def start(wish: DesiredTask) -> tuple[DockerEngine, str]:
        plan = container_plan(Identity(9, uuid.uuid4().hex, simulated=True), wish)
        made.append(engine.create(plan))
        engine.start(made[-1])
        return engine, made[-1]

    yield start
    for container_id in made:
        engine.remove(container_id)


@pytest.mark.engine
def test_what_is_written_to_the_volumes_of_an_image_counts(
    with_volume: str, run: Callable[[DesiredTask], tuple[DockerEngine, str]]
) -> None:
    script = "dd if=/dev/zero of=/data/big bs=1M count=30; dd if=/dev/zero of=/big bs=1M count=10"
    wish = task(image=with_volume, mode="args", args=["sh", "-c", script], ports=[])
    engine, container_id = run(wish)
    assert docker.from_env().containers.get(container_id).wait()["StatusCode"] == 0
    assert engine.disk_used_mb(container_id) in (40, 41)


@pytest.mark.engine
def test_what_a_container_has_now_is_less_than_what_it_wrote(
    with_volume: str, run: Callable[[DesiredTask], tuple[DockerEngine, str]]
) -> None:
    write = "dd if=/dev/zero of=/data/big bs=1M count=20; dd if=/dev/zero of=/big bs=1M count=10"
    script = f"{write}; echo >/up; exec sleep 1000"
    wish = task(image=with_volume, mode="args", args=["sh", "-c", script], ports=[])
    engine, container_id = run(wish)
    base_mb = engine.layer(container_id).image_mb
    guest = docker.from_env().containers.get(container_id)
    while guest.exec_run(["cat", "/up"]).exit_code:
        pass
    assert engine.content_mb(container_id, base_mb) in (30, 31)
    assert guest.exec_run(["rm", "/big"]).exit_code == 0
    assert engine.content_mb(container_id, base_mb) in (20, 21)
    engine.stop(container_id, 0)
    assert engine.content_mb(container_id, base_mb) is None


@pytest.mark.engine
def test_cpu_and_memory_of_a_container(run: Callable[[DesiredTask], tuple[DockerEngine, str]]) -> None:
    image = images.build("nosshd", docker.from_env())
    wish = task(image=image, mode="args", args=["sh", "-c", "while :; do :; done"], ports=[], ram_mb=64)
    engine, container_id = run(wish)
    wait_until(
        lambda: bool(engine.usage(container_id).cpu_seconds),
        timeout_seconds=60,
        failure=lambda: "no CPU time is counted",
    )
    used = engine.usage(container_id)
    assert used.ram_used_mb is not None
    assert used.ram_used_mb < 64
    assert used.ram_limit_mb == 64
    engine.remove(container_id)
    with pytest.raises(ContainerGoneError):
        engine.usage(container_id)
