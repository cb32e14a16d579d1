"""The guest tools on their way to a machine: bad downloads and disks, kills at every point, no server."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.engine.types import ContainerGoneError, EngineDownError, ImageMissingError, TaskError, VolumeMissingError
from agent.guest import tools
from agent.guest.tools import GuestTools
from agent.protocol import ToolsBundle
from agent.server import RefusedError, ServerAwayError
from tests.agent.fakes import FakeEngine, Life, ProcessKilledError, task

CONTENT = bytes(range(256)) * 40
URL = "https://market/tools"


def bundle(content: bytes = CONTENT, **changes: object) -> ToolsBundle:
    digest = hashlib.sha256(content).hexdigest()
    own: dict[str, object] = {"arch": "x86_64", "digest": digest, "size_bytes": len(content), "url": URL}
    return ToolsBundle(**(own | changes))  # type: ignore[arg-type]  # fields by name


class Server:
    """Sends what it has in pieces; ``breaks_after`` so many bytes of an answer, with an error or silently."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.offsets: list[int] = []
        self.breaks_after: int | None = None
        self.error: Exception | None = ServerAwayError("no connection")

    def fetch(self, url: str, offset: int) -> Iterator[bytes]:
        assert url == URL
        self.offsets.append(offset)
        if self.breaks_after is None:
            yield from (self.content[start : start + 1000] for start in range(offset, len(self.content), 1000))
            return
        yield self.content[offset : offset + self.breaks_after]
        if self.error is not None:
            raise self.error


def made(directory: Path, engine: FakeEngine, server: Server, point: object = None) -> GuestTools:
    passed = point if callable(point) else lambda _name: None
    return GuestTools(directory, "x86_64", engine, server.fetch, passed)


def test_fetched_once_and_kept(tmp_path: Path) -> None:
    engine, server = FakeEngine(), Server()
    first = made(tmp_path, engine, server)
    assert first.volume() == ""
    first.announce(bundle())
    assert first.prepare()
    assert engine.staged_tools[first.volume()] == CONTENT
    server.content = b""
    later = made(tmp_path, engine, server)
    assert later.volume() == first.volume(), "before the server has spoken"
    later.announce(bundle())
    assert later.prepare()
    assert server.offsets == [0]


def test_an_agent_away_from_its_server_fills_the_volume_from_what_it_kept(tmp_path: Path) -> None:
    server = Server()
    known = made(tmp_path, FakeEngine(), server)
    known.announce(bundle())
    assert known.prepare()
    engine = FakeEngine()
    server.breaks_after = 0
    assert engine.staged_tools[made(tmp_path, engine, server).volume()] == CONTENT


@pytest.mark.parametrize("error", [ServerAwayError("no connection"), None])
def test_a_download_that_breaks_off_goes_on_where_it_was(tmp_path: Path, error: Exception | None) -> None:
    engine, server = FakeEngine(), Server()
    guest_tools = made(tmp_path, engine, server)
    guest_tools.announce(bundle())
    server.breaks_after, server.error = 4000, error
    assert not guest_tools.prepare()
    assert guest_tools.volume() == "", "containers don't wait for a second try"
    assert not made_again(tmp_path, engine, server).prepare()
    server.breaks_after = None
    again = made_again(tmp_path, engine, server)
    assert again.prepare()
    assert server.offsets == [0, 4000, 8000]
    assert engine.staged_tools[again.volume()] == CONTENT


def made_again(directory: Path, engine: FakeEngine, server: Server) -> GuestTools:
    guest_tools = made(directory, engine, server)
    guest_tools.announce(bundle())
    return guest_tools


@pytest.mark.parametrize("sent", [CONTENT[:-1] + b"!", CONTENT + b"more", b"!" + CONTENT])
def test_what_is_not_what_was_announced_is_never_used(tmp_path: Path, sent: bytes) -> None:
    engine, server = FakeEngine(), Server(sent)
    guest_tools = made(tmp_path, engine, server)
    guest_tools.announce(bundle())
    assert not guest_tools.prepare()
    assert (guest_tools.volume(), engine.staged_tools) == ("", {})
    server.content = CONTENT
    assert guest_tools.prepare()
    assert server.offsets == [0, 0], "begun anew"
    assert engine.staged_tools[guest_tools.volume()] == CONTENT


@pytest.mark.parametrize(
    "odd",
    [
        bundle(arch="aarch64"),
        bundle(digest="../../etc/passwd"),
        bundle(digest="A" * 64),
        bundle(size_bytes=0),
        bundle(size_bytes=tools.MOST_BYTES + 1),
        None,
    ],
)
def test_announcements_that_are_not_for_this_machine_change_nothing(tmp_path: Path, odd: ToolsBundle | None) -> None:
    server = Server()
    guest_tools = made(tmp_path, FakeEngine(), server)
    guest_tools.announce(odd)
    assert guest_tools.prepare()
    assert (guest_tools.volume(), server.offsets) == ("", [])


def test_a_refused_download_is_tried_again(tmp_path: Path) -> None:
    engine, server = FakeEngine(), Server()
    guest_tools = made(tmp_path, engine, server)
    guest_tools.announce(bundle())
    server.breaks_after, server.error = 0, RefusedError(404, "no_such_tools", "They are not there.")
    assert not guest_tools.prepare()
    server.breaks_after = None
    assert guest_tools.prepare()


@pytest.mark.parametrize(
    "why",
    [
        TaskError("disk_full", "The host's disk is full."),
        ContainerGoneError("No such container: somebody cleaned up."),
        VolumeMissingError("no such volume"),
        ImageMissingError("No such image"),
    ],
)
def test_an_engine_that_cannot_now_costs_the_tools_and_not_the_container(tmp_path: Path, why: Exception) -> None:
    engine, server = FakeEngine(), Server()
    guest_tools = made(tmp_path, engine, server)
    guest_tools.announce(bundle())
    engine.tools_error = why
    assert not guest_tools.prepare()
    assert guest_tools.volume() == ""
    engine.tools_error = None
    assert engine.staged_tools[guest_tools.volume()] == CONTENT


def test_no_room_for_the_download_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guest_tools = made(tmp_path, FakeEngine(), Server())
    guest_tools.announce(bundle())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tools, "write_durably", full)
        assert not guest_tools.prepare()
    assert guest_tools.prepare()


def test_a_kept_file_that_lost_its_end_is_fetched_again(tmp_path: Path) -> None:
    server = Server()
    guest_tools = made(tmp_path, FakeEngine(), server)
    guest_tools.announce(bundle())
    assert guest_tools.prepare()
    (kept,) = tmp_path.glob("*.tar.gz")
    kept.write_bytes(CONTENT[:100])
    engine = FakeEngine()
    again = made(tmp_path, engine, server)
    assert (again.volume(), engine.staged_tools) == ("", {})
    assert again.prepare()
    assert engine.staged_tools[again.volume()] == CONTENT


def test_an_engine_that_is_down_is_said_to_be(tmp_path: Path) -> None:
    engine = FakeEngine()
    guest_tools = made(tmp_path, engine, Server())
    guest_tools.announce(bundle())
    assert guest_tools.prepare()
    engine.down = True
    with pytest.raises(EngineDownError):
        guest_tools.volume()


def test_new_tools_take_the_place_of_old_ones(tmp_path: Path) -> None:
    engine, server = FakeEngine(), Server()
    guest_tools = made(tmp_path, engine, server)
    guest_tools.announce(bundle())
    assert guest_tools.prepare()
    old, server.content = guest_tools.volume(), b"newer"
    guest_tools.announce(bundle(b"newer"))
    assert guest_tools.volume() == old, "until the new ones are there"
    assert guest_tools.prepare()
    assert engine.staged_tools[guest_tools.volume()] == b"newer"
    assert list(engine.tools) == [bundle(b"newer").digest]
    assert [path.name for path in tmp_path.glob("*.tar.gz")] == [f"{bundle(b'newer').digest}.tar.gz"]


def test_killed_once_at_every_point(tmp_path: Path) -> None:
    points: list[str] = []
    run_to_the_end(tmp_path / "none", points, None)
    assert {"tools_fetched", "tools_kept", "tools_staged", "tools_published", "before publish_tools"} <= set(points)
    for number in range(len(points)):
        run_to_the_end(tmp_path / str(number), [], number)


def run_to_the_end(directory: Path, points: list[str], fatal: int | None) -> None:
    """Lives of an agent until the tools are there, with a container that has them; the first one dies at a point."""
    engine, server = FakeEngine(), Server()

    def passed(name: str) -> None:
        points.append(name)
        if len(points) - 1 == fatal:
            raise ProcessKilledError

    engine.interrupt = passed
    for _ in range(2):
        try:
            guest_tools = made(directory, engine, server, passed)
            guest_tools.announce(bundle())
            assert guest_tools.prepare()
            volume = guest_tools.volume()
        except ProcessKilledError:
            continue
    assert engine.staged_tools[volume] == CONTENT
    assert engine.tools == {bundle().digest: volume}


def test_only_containers_in_ssh_mode_get_the_tools(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    object.__setattr__(life.reconciler._tools, "tools_volume", lambda: "tools-volume")
    life.want(task(1), task(2, mode="args"))
    assert [plan.tools_volume for plan in life.engine.plans] == ["tools-volume", ""]
