"""Tasks that go on with other GPUs, and stops from outside, on the real engine."""

import json
import time
import uuid
from collections.abc import Iterator

import docker
import pytest

from agent.engine import disks
from agent.engine.docker_engine import DockerEngine
from agent.engine.labels import GPUS_LABEL
from agent.engine.types import (
    DiskName,
    VolumeMissingError,
)
from agent.protocol import DesiredTask
from agent.tasks.memory import SavedDisk
from agent.tasks.plan import Identity, container_plan, disk_name, on_saved_disk
from tests import images
from tests.agent.fakes import changed, task
from tests.agent.host import Host, volumes_of

pytestmark = pytest.mark.engine

NOTICE = "Outbid by a higher bid of $0.21 per GPU and hour."


def started(host: Host, wish: DesiredTask) -> None:
    """The task runs."""
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running", wish.run_generation)


def stopped(host: Host, wish: DesiredTask) -> None:
    """The task has no GPUs and does not run."""
    host.market.desire(changed(wish, state="stopped", gpu_uuids=[]))
    host.market.await_phase(1, "stopped", wish.run_generation)


def test_an_ssh_instance_moves_with_all_it_has(host: Host) -> None:
    wish = host.task(kind="opinionated", onstart="echo run >>/root/runs\n", gpu_uuids=["GPU-2", "GPU-1"])
    started(host, wish)
    before = host.container()
    assert before.labels[GPUS_LABEL] == "GPU-1,GPU-2"
    host.ssh(
        wish, "echo kept >/root/file; echo kept too >/data/file; echo 'echo edited >>/root/runs' >/root/onstart.sh"
    )
    stopped(host, wish)

    key = host.key
    host.key = host.state.parent / "other_key"
    host.make_key()
    again = changed(wish, run_generation=2, gpu_uuids=["GPU-3"], authorized_keys=[host.public_key])
    host.market.desire(again)
    host.market.await_phase(1, "running", 2)
    after = host.container()
    assert (after.id != before.id, after.labels[GPUS_LABEL]) == (True, "GPU-3")
    assert volumes_of(after) == volumes_of(before)
    answer = host.ssh(again, "cat /root/file /data/file /root/runs; echo $IMAGE_SAYS $GREETING")
    assert answer.stdout.splitlines() == ["kept", "kept too", "run", "edited", "hello hello"]
    assert "IDENTIFICATION HAS CHANGED" not in answer.stderr
    host.key = key
    assert host.ssh(again, "true").returncode == 255

    host.market.desire(changed(again, state="removed"))
    host.market.await_phase(1, "removed")
    assert (host.containers(), host.saved_disks()) == ([], [])
    assert not {volume.name for volume in host.engine.volumes.list()} & set(volumes_of(before))
    assert list(host.memories.iterdir()) == []


def test_moves_there_and_back_keep_one_saved_disk_only(host: Host) -> None:
    wish = host.task(onstart="echo run >>/root/runs\n", gpu_uuids=["GPU-1"], stop_grace_seconds=0)
    started(host, wish)
    for run, gpu in enumerate(["GPU-2", "GPU-1", "GPU-1", "GPU-2"], start=2):
        wish = changed(wish, run_generation=run, gpu_uuids=[gpu])
        host.market.desire(wish)
        host.market.await_phase(1, "running", run)
    assert host.ssh(wish, "wc -l </root/runs").stdout.strip() == "5"
    assert len(host.saved_disks()) == 1
    host.market.desire(changed(wish, state="removed"))
    host.market.await_phase(1, "removed")
    assert host.saved_disks() == []


def test_a_command_moves_with_the_settings_of_its_image(host: Host) -> None:
    wish = host.task(kind="opinionated", mode="args", ports=[], gpu_uuids=["GPU-1"], env={"MINE": "1\n2"})
    started(host, wish)
    stopped(host, wish)
    host.market.desire(changed(wish, run_generation=2, gpu_uuids=["GPU-2"], env={}))
    host.market.await_phase(1, "running", 2)
    assert host.read("/tmp/ran").splitlines() == ["99 in /tmp says hello"] * 2
    assert "MINE" not in host.execute("env")


def test_a_command_of_the_tasks_own_moves_with_it(host: Host) -> None:
    wish = host.task(kind="opinionated", mode="args", ports=[], entrypoint="sh -c", args=["echo $0 >>/tmp/mine", "a b"])
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "exited", 1)
    host.market.desire(changed(wish, run_generation=2, gpu_uuids=["GPU-2"]))
    host.market.await_phase(1, "exited", 2)
    _, facts = host.container().get_archive("/tmp/mine")
    assert facts is not None
    assert facts["size"] == 2 * len("a b\n")


def test_an_instance_without_a_saved_disk_is_lost(host: Host) -> None:
    wish = host.task(gpu_uuids=["GPU-1"])
    started(host, wish)
    stopped(host, wish)
    host.end()
    host.market.desire(changed(wish, run_generation=2, gpu_uuids=["GPU-2"]))
    host.start(kill_at="old_removed")
    host.await_death()
    (image,) = host.saved_disks()
    host.engine.images.remove(image.tags[0])
    host.start()
    assert host.market.await_phase(1, "failed", 2).reason == "container_lost"
    assert host.containers() == []


def test_a_guest_finds_out_why_it_is_stopped(host: Host) -> None:
    save = "trap 'cat /.spotyard/notice.json >/saved; exit 0' TERM; echo up >/up; while :; do sleep 0.05; done"
    wish = host.args_task(save, stop_grace_seconds=7)
    started(host, wish)
    host.market.await_that(lambda: host.container().exec_run(["cat", "/up"]).exit_code == 0)
    began = time.time()
    host.market.desire(changed(wish, state="stopped", notice=NOTICE))
    host.market.await_phase(1, "stopped")
    content, _ = host.container().get_archive("/saved")
    told = json.loads(b"".join(content)[512:].rstrip(b"\0"))
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))
    assert told == {"message": NOTICE, "grace_seconds": 7, "at": told["at"]}
    assert at <= told["at"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def test_the_notice_of_an_earlier_stop_is_gone_at_the_next_start(host: Host) -> None:
    onstart = "trap 'cp /.spotyard/notice.json /root/saved; exit' TERM\nwhile :; do sleep 0.05; done\n"
    wish = host.task(onstart=onstart)
    started(host, wish)
    host.market.desire(changed(wish, state="stopped", notice=NOTICE))
    host.market.await_phase(1, "stopped")
    again = changed(wish, run_generation=2)
    host.market.desire(again)
    host.market.await_phase(1, "running", 2)
    look = "cat /root/saved; ls /.spotyard/notice.json"
    answer = host.ssh(again, look)
    assert json.loads(answer.stdout)["message"] == NOTICE
    assert answer.returncode != 0


def test_without_grace_a_guest_that_does_not_listen_ends_at_once(host: Host) -> None:
    wish = host.args_task("trap '' TERM; while :; do sleep 0.1; done")
    started(host, wish)
    began = time.monotonic()
    host.market.desire(changed(wish, state="stopped", notice=NOTICE, stop_grace_seconds=0))
    host.market.await_phase(1, "stopped")
    assert time.monotonic() - began < 5
    assert host.container().attrs["State"]["ExitCode"] == 137


@pytest.fixture
def identity() -> Iterator[Identity]:
    """Of an agent whose task number 1 leaves nothing behind."""
    made = Identity(9, uuid.uuid4().hex, simulated=True)
    yield made
    client = docker.from_env()
    for container in client.containers.list(all=True, filters={"label": f"spotyard.owner={made.owner}"}):
        DockerEngine().remove(str(container.id))
    DockerEngine().drop_disks(disk_name(made, 1))


def test_a_disk_saved_too_often_becomes_one_layer(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, client = DockerEngine(), docker.from_env()
    image = images.build("opinionated", client)
    wish = task(image=image, mode="args", ports=[], args=["echo kept >/tmp/file"], env={"MINE": "1\n2"})
    first = engine.create(container_plan(identity, wish))
    engine.start(first)
    assert client.containers.get(first).wait()["StatusCode"] == 0
    assert not engine.layer(first).stacked_high
    monkeypatch.setattr(disks, "MOST_LAYERS", 0)
    assert engine.layer(first).stacked_high
    name = f"{disk_name(identity, 1).repository}:2-flat"
    given = engine.save_disk(first, name, [], as_one=True).given_names
    volumes = engine.volumes(first)
    engine.remove(first, keep_volumes=True)

    saved = client.images.get(name)
    assert len(saved.attrs["RootFS"]["Layers"]) <= 2
    original = client.images.get(image).attrs["Config"]
    settings = ["Env", "User", "WorkingDir", "Volumes", "Entrypoint", "Cmd"]
    assert {key: saved.attrs["Config"][key] for key in settings} == {key: original[key] for key in settings}

    disk = SavedDisk(
        container_id=first, image=name, volumes=volumes, given_names=given, used_mb=0, base_mb=0, last_run=1
    )
    plan = on_saved_disk(container_plan(identity, changed(wish, args=["cat /tmp/file"])), disk)
    second = engine.create(plan)
    assert engine.volumes(second) == volumes
    engine.start(second)
    assert client.containers.get(second).wait()["StatusCode"] == 0
    assert client.containers.get(second).logs() == b"kept\n"
    engine.remove(second)
    engine.drop_volumes(list(volumes.values()))
    engine.drop_volumes(list(volumes.values()))
    engine.drop_disks(disk_name(identity, 1))
    assert client.images.list(filters={"label": f"spotyard.owner={identity.owner}"}, all=True) == []
    with pytest.raises(VolumeMissingError):
        engine.create(on_saved_disk(container_plan(identity, wish), disk))


def test_a_disk_saved_again_leaves_none_without_a_name(identity: Identity) -> None:
    engine, client = DockerEngine(), docker.from_env()
    image = images.build("nosshd", client)
    container = engine.create(container_plan(identity, task(image=image, mode="args", args=["true"], ports=[])))
    label = f"spotyard.owner={identity.owner}"
    name = f"{disk_name(identity, 1).repository}:2-x"
    assert not engine.has_image(name)
    engine.save_disk(container, name, [])
    engine.save_disk(container, name, [])
    assert engine.has_image(name)
    assert len(client.images.list(filters={"label": label}, all=True)) == 1
    # As when an earlier agent's copy is done after the next agent's.
    repository, _, tag = name.partition(":")
    client.api.commit(container, repository, tag)
    # As when the agent was killed while it merged layers.
    client.api.create_container(name, ["-"], name=repository.replace("/", "-"))
    client.api.tag(name, repository, f"{tag}-bare")
    client.api.commit(container, "spotyard-disk/someone-else", "1")
    assert len(client.images.list(filters={"label": label}, all=True)) == 3
    engine.drop_disks(disk_name(identity, 1))
    (left,) = client.images.list(filters={"label": label}, all=True)
    assert left.tags == ["spotyard-disk/someone-else:1"]
    engine.drop_disks(DiskName(repository="spotyard-disk/someone-else", labels={}))
