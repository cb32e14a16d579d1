"""File systems in files: made once whatever interrupts, mounted once whoever asks, full at their size, gone at last."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.engine.own_disks import OwnDisks, is_mounted, obstacle
from agent.engine.types import TaskError

pytestmark = pytest.mark.engine


class Scene:
    """The engine's directory with one container's layer in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.id = uuid.uuid4().hex
        self.layer = root / "overlay2" / self.id
        (self.layer / "diff" / "root").mkdir(parents=True)
        (self.layer / "work" / "work").mkdir(parents=True)
        (self.layer / "lower").write_text("l/ABC")
        self.file("made before").write_text("kept")
        self.disks = OwnDisks(root)

    def file(self, name: str) -> Path:
        """One that the container has written."""
        return self.layer / "diff" / "root" / name

    def provide(self, size_gb: int = 1, *, reserved: bool = False) -> None:
        self.disks.provide(self.id, self.layer, size_gb, reserved=reserved)

    def left(self) -> list[str]:
        """What there is of disks."""
        return sorted(path.name for path in (self.root / "spotyard-disks").iterdir())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    if why := obstacle("overlay2", str(tmp_path)):
        assert os.environ.get("CI") != "true", why
        pytest.skip(why)
    scene = Scene(tmp_path)
    yield scene
    scene.disks.release(scene.id, scene.layer)
    scene.disks.delete(scene.id)
    assert not is_mounted(scene.layer)


def test_the_layer_keeps_what_is_in_it_and_has_the_rented_size(scene: Scene) -> None:
    scene.provide()
    assert is_mounted(scene.layer)
    assert scene.file("made before").read_text() == "kept"
    assert (scene.layer / "lower").read_text() == "l/ABC"
    facts = os.statvfs(scene.layer)
    assert 1024 <= facts.f_bavail * facts.f_frsize >> 20 <= 1024 + 80
    assert scene.disks.used_mb(scene.layer) < 5
    scene.file("more").write_bytes(b"x" * (20 << 20))
    os.sync()
    assert 20 <= scene.disks.used_mb(scene.layer) < 25


def test_again_changes_nothing_and_a_lost_mount_comes_back_with_all_data(scene: Scene) -> None:
    scene.provide()
    scene.file("mine").write_text("data")
    scene.provide()
    scene.disks.release(scene.id, scene.layer)
    assert not scene.file("mine").exists()
    assert not (scene.layer / "diff").exists(), "without its disk the container must not start"
    scene.disks.cover(scene.id, scene.layer)
    assert scene.file("mine").read_text() == "data"


def test_a_mount_that_is_hidden_does_not_count(scene: Scene) -> None:
    scene.provide()
    layers = scene.layer.parent
    subprocess.run(["mount", "--bind", layers, layers], check=True)  # as an engine does when it starts
    try:
        assert not is_mounted(scene.layer)
        scene.disks.cover(scene.id, scene.layer)
        assert scene.file("made before").read_text() == "kept"
        subprocess.run(["umount", scene.layer], check=True)
    finally:
        subprocess.run(["umount", layers], check=True)
    assert scene.file("made before").read_text() == "kept"


def test_one_file_is_one_file_system_though_others_keep_it_mounted(scene: Scene) -> None:
    scene.provide()
    kept = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE
    )
    assert kept.stdout is not None
    kept.stdout.readline()
    scene.file("mine").write_text("data")
    scene.disks.release(scene.id, scene.layer)
    scene.disks.cover(scene.id, scene.layer)
    assert scene.file("mine").read_text() == "data"
    scene.file("more").write_text("too")
    kept.kill()
    kept.communicate()
    scene.disks.release(scene.id, scene.layer)
    scene.disks.cover(scene.id, scene.layer)
    assert (scene.file("mine").read_text(), scene.file("more").read_text()) == ("data", "too")


def test_one_mount_however_many_ask_at_once(scene: Scene) -> None:
    scene.provide()
    scene.disks.release(scene.id, scene.layer)
    agents = [OwnDisks(scene.root) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda disks: disks.cover(scene.id, scene.layer), agents))
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    assert len([line for line in mounts if f" {scene.layer} " in line]) == 1


def test_what_an_agent_left_that_died_on_the_way_is_made_anew(scene: Scene) -> None:
    place = scene.root / "spotyard-disks"
    staging = place / f"{scene.id}.img.staging"
    staging.mkdir(parents=True)
    (place / f"{scene.id}.img.new").write_bytes(b"half")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(staging)], check=True)
    scene.provide()
    assert scene.file("made before").read_text() == "kept"
    assert not staging.exists()
    assert scene.left() == [f"{scene.id}.img", f"{scene.id}.img.lock"]


def test_room_is_there_at_once_or_not_at_all(scene: Scene) -> None:
    scene.provide(reserved=True)
    assert Path(scene.root / "spotyard-disks" / f"{scene.id}.img").stat().st_blocks * 512 >= 1 << 30
    scene.disks.release(scene.id, scene.layer)
    scene.disks.delete(scene.id)
    other = Scene(scene.root)
    with pytest.raises(TaskError) as refusal:
        other.provide(100_000, reserved=True)
    assert refusal.value.reason == "disk_full"
    assert not is_mounted(other.layer)
    assert other.file("made before").exists()
    assert scene.left() == []


def test_disks_of_containers_that_are_no_more_are_swept(scene: Scene) -> None:
    scene.provide()
    place = scene.root / "spotyard-disks"
    (place / "dead.img").write_bytes(b"")
    (place / "half.img.new").write_bytes(b"")
    (place / "half.img.staging").mkdir()
    scene.disks.sweep(lambda container_id: container_id == scene.id)
    assert scene.left() == [f"{scene.id}.img", f"{scene.id}.img.lock"]
    assert is_mounted(scene.layer)


def test_why_a_machine_can_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert obstacle("btrfs", str(tmp_path)) == "the engine's storage driver is btrfs"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "mkfs.ext4" in obstacle("overlay2", str(tmp_path)) or os.geteuid() != 0


def test_a_layer_of_an_engine_with_user_namespaces_keeps_its_shifted_owners(scene: Scene) -> None:
    shifted = 100_000
    os.chown(scene.layer, 0, shifted)
    scene.layer.chmod(0o710)
    for path in (scene.layer / "diff", scene.layer / "diff" / "root", scene.file("made before"), scene.layer / "work"):
        os.chown(path, shifted, shifted)
    scene.provide()
    assert is_mounted(scene.layer)
    facts = scene.layer.stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (0, shifted, 0o710)
    owners = {path.stat().st_uid for path in (scene.layer / "diff", scene.file("made before"), scene.layer / "work")}
    assert owners == {shifted}
