"""Which images go when the disk gets full, and that nothing else ever does."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.docker_engine import DockerEngine
from agent.engine.image_types import FoundImage, ImageFacts
from agent.engine.types import EngineDownError, PullWatch, TaskError
from agent.images.fetched import FetchedImages
from agent.images.janitor import Janitor, total_and_free
from agent.images.rule import LEAST_REST_SECONDS, Disk, Fetched, dispensable
from tests.agent.fakes import FakeEngine, Life, changed, task
from tests.plumbing.registry import Registry

NOW = 1_000_000.0
IDS = [f"sha256:{letter}" for letter in "abcdef"]
NAMES = ["app:1", "app:2", "own:1"]

listings = st.lists(
    st.builds(
        ImageFacts,
        image_id=st.sampled_from(IDS),
        names=st.frozensets(st.sampled_from(NAMES), max_size=2),
        size_bytes=st.integers(0, 10**11),
        in_use=st.booleans(),
    ),
    unique_by=lambda image: image.image_id,
)
records = st.dictionaries(
    st.sampled_from(IDS),
    st.builds(
        Fetched,
        names=st.frozensets(st.sampled_from(NAMES[:2]), max_size=2),
        used_at=st.floats(NOW - 10 * LEAST_REST_SECONDS, NOW + 1000),
    ),
)


@given(listings, records, st.frozensets(st.sampled_from(IDS)))
def test_only_what_the_agent_fetched_and_nobody_needs_goes_the_oldest_first(
    images: list[ImageFacts], fetched: dict[str, Fetched], wanted: frozenset[str]
) -> None:
    going = dispensable(images, fetched, wanted, NOW)
    for image in going:
        assert image in images
        assert not image.in_use
        assert image.image_id not in wanted
        assert NOW - fetched[image.image_id].used_at >= LEAST_REST_SECONDS
        assert "own:1" not in image.names, "that is what somebody else called it"
    ages = [fetched[image.image_id].used_at for image in going]
    assert ages == sorted(ages)
    for image in images:
        if image not in going and image.image_id in fetched and image.names <= fetched[image.image_id].names:
            rested = NOW - fetched[image.image_id].used_at >= LEAST_REST_SECONDS
            assert image.in_use or image.image_id in wanted or not rested


@given(st.integers(1, 10**13), st.floats(0, 1), st.integers(0, 10**11))
def test_what_is_relieved_is_not_full(total: int, share: float, floor: int) -> None:
    disk = Disk(total, int(total * share), floor)
    assert not (disk.is_full and disk.is_relieved)


def test_when_a_disk_is_full() -> None:
    assert not Disk(1000, 151).is_full
    assert Disk(1000, 149).is_full
    assert not Disk(1000, 249).is_relieved
    assert Disk(1000, 251).is_relieved
    assert Disk(1000, 500, floor_bytes=251).is_full, "hardly anything could be started any more"


@dataclass
class Shelf:
    """Images, each under one name, on a disk of 1000 bytes; fetching and deleting takes and gives room."""

    images_here: dict[str, ImageFacts] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    down: bool = False
    refuses: str = ""

    def put(self, image_id: str, name: str, size: int = 200) -> None:
        self.images_here[image_id] = ImageFacts(
            image_id=image_id, names=frozenset({name}), size_bytes=size, in_use=False
        )

    def list_images(self) -> list[ImageFacts]:
        if self.down:
            raise EngineDownError("away")
        return [
            ImageFacts(image_id=key, names=one.names, size_bytes=one.size_bytes, in_use=key in self.used)
            for key, one in self.images_here.items()
        ]

    def image_id(self, image: str) -> str | None:
        return next((one.image_id for one in self.list_images() if image in one.names), None)

    def found_image(self, image: str) -> FoundImage | None:
        found = self.image_id(image)
        return FoundImage(image_id=found, repositories=frozenset()) if found else None

    def drop_image(self, image: str) -> None:
        if image == self.refuses:
            raise TaskError("engine_error", "conflict")
        found = self.image_id(image)
        if found:
            del self.images_here[found]

    @property
    def free(self) -> int:
        return 1000 - sum(one.size_bytes for one in self.images_here.values())


class Rig:
    """A janitor over a shelf, at a time that the test sets."""

    def __init__(self, directory: Path) -> None:
        self.shelf, self.now = Shelf(), NOW
        self.wanted: set[str] = set()
        self.jobs: list[Callable[[], None]] = []
        self.directory = directory
        self.restart()

    def restart(self) -> None:
        self.fetched = FetchedImages(self.directory, self.shelf, clock=lambda: self.now)
        self.janitor = Janitor(
            engine=self.shelf,
            fetched=self.fetched,
            wanted=lambda: self.wanted,
            data_root=lambda: "/",
            floor_gb=0,
            submit=self.jobs.append,
            usage=lambda _path: (1000, self.shelf.free),
            clock=lambda: self.now,
            pulse=lambda: self.now,
        )

    def fetch(self, letter: str, size: int = 200) -> None:
        with self.fetched.fetching(f"app:{letter}"):
            self.shelf.put(f"sha256:{letter}", f"app:{letter}", size)

    def rest(self) -> None:
        self.now += LEAST_REST_SECONDS

    def here(self) -> str:
        return "".join(sorted(key[-1] for key in self.shelf.images_here))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_full_disk_loses_what_was_not_used_for_longest(rig: Rig) -> None:
    for letter in "abcd":
        rig.fetch(letter)
        rig.now += 10
    rig.rest()
    rig.janitor.look()
    assert rig.here() == "abcd", "800 of 1000 is not full"
    rig.shelf.used = {"sha256:a"}
    rig.janitor.look()
    rig.shelf.used = set()
    rig.rest()
    rig.fetch("e", 100)
    rig.janitor.look()
    assert rig.here() == "acde", "b was the oldest, as a was in use later; 700 of 1000 will do"


def test_what_is_in_use_or_wanted_or_somebody_else_s_stays_however_full_it_is(rig: Rig) -> None:
    rig.shelf.put("sha256:h", "host:1", 100)
    for letter in "abc":
        rig.fetch(letter, 290)
    rig.rest()
    rig.shelf.used, rig.wanted = {"sha256:a"}, {"app:b"}
    rig.janitor.look()
    assert rig.here() == "abh"


def test_an_image_that_was_here_before_it_was_asked_for_is_not_the_agent_s(rig: Rig) -> None:
    rig.shelf.put("sha256:a", "app:a", 900)
    rig.fetch("a", 900)
    rig.rest()
    rig.janitor.look()
    assert (rig.here(), rig.fetched.known()) == ("a", {})


def test_what_came_while_the_agent_was_killed_is_the_agent_s(rig: Rig) -> None:
    rig.shelf.put("sha256:h", "host:1", 50)
    with rig.fetched.fetching("app:a"):
        rig.shelf.put("sha256:a", "app:a", 900)
        rig.shelf.down = True  # so that nothing can be noted afterwards
    rig.shelf.down = False
    rig.restart()
    rig.janitor.look()
    assert set(rig.fetched.known()) == {"sha256:a"}
    rig.rest()
    rig.janitor.look()
    assert rig.here() == "h"
    rig.janitor.look()
    assert rig.fetched.known() == {}, "what is gone is forgotten"


def test_a_name_that_leads_to_another_image_leaves_the_one_before_to_be_deleted(rig: Rig) -> None:
    rig.fetch("a", 400)
    with rig.fetched.fetching("app:a"):
        rig.shelf.put("sha256:b", "app:a", 500)
        one = rig.shelf.images_here["sha256:a"]
        rig.shelf.images_here["sha256:a"] = ImageFacts(
            image_id=one.image_id, names=frozenset(), size_bytes=400, in_use=False
        )
    assert set(rig.fetched.known()) == {"sha256:a", "sha256:b"}


def test_one_that_can_t_be_deleted_does_not_keep_others(rig: Rig) -> None:
    rig.fetch("a", 450)
    rig.now += 1
    rig.fetch("b", 450)
    rig.rest()
    rig.shelf.refuses = "app:a"
    rig.janitor.look()
    assert rig.here() == "a"


def test_notes_that_can_t_be_read_or_written_delete_nothing_and_hinder_nothing(rig: Rig) -> None:
    rig.fetch("a", 900)
    (rig.directory / "fetched-images.json").write_text("{")
    rig.restart()
    rig.rest()
    rig.janitor.look()
    assert rig.here() == "a"


def test_a_round_is_begun_when_due_or_full_and_never_twice(rig: Rig) -> None:
    rig.janitor.tick()
    rig.janitor.tick()
    assert len(rig.jobs) == 1
    rig.jobs.pop()()
    rig.now += 100
    rig.janitor.tick()
    assert rig.jobs == [], "nothing is due"
    rig.shelf.put("sha256:h", "host:1", 900)
    rig.janitor.tick()
    (job,) = rig.jobs
    rig.shelf.down = True
    job()
    rig.jobs.clear()
    rig.janitor.tick()
    assert rig.jobs == [], "it was looked just now"
    rig.now += 61
    rig.janitor.tick()
    assert len(rig.jobs) == 1


def test_fetches_of_one_image_at_once_are_noted_once(rig: Rig) -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with rig.fetched.fetching("app:a"):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(10)
    rig.fetch("a")
    rig.fetched.settle()
    assert rig.fetched.known() == {}, "one is under way"
    leave.set()
    thread.join()
    assert set(rig.fetched.known()) == {"sha256:a"}


def test_what_tasks_are_made_of_is_known(tmp_path: Path) -> None:
    life = Life(FakeEngine(), tmp_path)
    life.want(task(1), changed(task(2), image="image:2", state="stopped"), changed(task(3), image="x", state="removed"))
    assert life.reconciler.images() == {"image:1", "image:2"}
    assert total_and_free(tmp_path)[0] > 0


@pytest.mark.engine
def test_with_a_registry_and_the_real_engine(engine: docker.DockerClient, tmp_path: Path) -> None:
    with Registry(engine) as registry:
        docker_engine, full = DockerEngine(), [100]
        clock = [NOW]
        fetched = FetchedImages(tmp_path, docker_engine, clock=lambda: clock[0])
        janitor = Janitor(
            engine=docker_engine,
            fetched=fetched,
            wanted=lambda: (),
            data_root=lambda: "/",
            floor_gb=0,
            submit=lambda job: job(),
            usage=lambda _path: (1000, full[0]),
            clock=lambda: clock[0],
        )
        before = {image.image_id for image in docker_engine.list_images()}
        with fetched.fetching(registry.image):
            docker_engine.pull(registry.image, PullWatch())
        (image_id,) = fetched.known()
        assert image_id not in before
        container = engine.containers.create(registry.image, ["true"])
        try:
            clock[0] += 2 * LEAST_REST_SECONDS
            janitor.look()
            assert docker_engine.has_image(registry.image), "a container that never ran needs it"
        finally:
            container.remove()
        clock[0] += 2 * LEAST_REST_SECONDS
        janitor.look()
        assert not docker_engine.has_image(registry.image)
        assert {image.image_id for image in docker_engine.list_images()} >= before, "nothing else went"
