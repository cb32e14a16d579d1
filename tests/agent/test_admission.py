"""Who gets an image that lies on the machine, with the engine in memory and with a registry and the real one."""

from pathlib import Path

import docker
import pytest

from agent.engine.docker_engine import DockerEngine
from agent.engine.references import registry_of, repository_of
from agent.engine.types import PullWatch, TaskError
from agent.protocol import DesiredTask, RegistryLogin
from agent.tasks import steps, tools
from agent.tasks.admission import FreeImages
from agent.tasks.registries import addresses_of, require_public
from tests import images
from tests.agent.fakes import FakeEngine, Life, ProcessKilledError, changed, short_id, task
from tests.agent.host import Host
from tests.plumbing.registry import Registry, Scheme

ADA = ("ada", "s3cret-of-ada")
BEN = ("ben", "s3cret-of-ben")
SAVED = "spotyard-disk/spotyard-7-1-01234567:1"
IMAGE = "registry.example.com/team/app:1"
LOGIN = RegistryLogin(registry="registry.example.com", username=ADA[0], password=ADA[1])
WATCH = PullWatch(on_progress=lambda _share: None, abandoned=lambda: False)


def login_to(registry: Registry, user: tuple[str, str] = ADA) -> RegistryLogin:
    return RegistryLogin(registry=registry.address, username=user[0], password=user[1])


def with_image(number: int, login: RegistryLogin | None, image: str = IMAGE) -> DesiredTask:
    return changed(task(number, mode="args"), image=image, registry_login=login)


def guarded() -> FakeEngine:
    return FakeEngine(pullable={IMAGE}, guarded={IMAGE: LOGIN})


@pytest.mark.parametrize(
    ("image", "registry", "repository"),
    [
        ("ubuntu", "docker.io", "ubuntu"),
        ("ubuntu:22.04", "docker.io", "ubuntu"),
        ("docker.io/library/ubuntu:22.04", "docker.io", "ubuntu"),
        ("index.docker.io/team/app@sha256:0a", "docker.io", "team/app"),
        ("library/ubuntu", "docker.io", "ubuntu"),
        ("127.0.0.1:5000/team/app", "127.0.0.1:5000", "127.0.0.1:5000/team/app"),
        ("127.0.0.1:5000/app:1@sha256:0a", "127.0.0.1:5000", "127.0.0.1:5000/app"),
        ("localhost/app:1", "localhost", "localhost/app"),
        ("ghcr.io/library/app:1", "ghcr.io", "ghcr.io/library/app"),
    ],
)
def test_parts_of_names(image: str, registry: str, repository: str) -> None:
    assert (registry_of(image), repository_of(image)) == (registry, repository)


def test_a_cached_private_image_is_given_to_who_may_fetch_it_only(tmp_path: Path) -> None:
    life = Life(guarded(), tmp_path)
    life.want(with_image(1, LOGIN))
    assert life.seen(1) == ("running", 1, None)
    for number, thief in ((2, None), (3, RegistryLogin(registry=LOGIN.registry, username="ben", password="x"))):
        life.want(with_image(1, LOGIN), with_image(number, thief))
        assert life.seen(number) == ("failed", 1, "image_missing")
    life.want(with_image(4, LOGIN))
    assert life.seen(4) == ("running", 1, None)
    again = Life(life.engine, tmp_path)
    again.want(with_image(5, None))
    assert again.seen(5) == ("failed", 1, "image_missing")


def test_an_image_of_which_nothing_was_noted_is_asked_about(tmp_path: Path) -> None:
    engine = guarded()

    def die(name: str) -> None:
        if name == "after pull":
            raise ProcessKilledError

    engine.interrupt = die
    with pytest.raises(ProcessKilledError):
        Life(engine, tmp_path).want(with_image(1, LOGIN))
    assert IMAGE in engine.images
    engine.interrupt = lambda _name: None
    again = Life(engine, tmp_path)
    again.want(with_image(2, None))
    assert again.seen(2) == ("failed", 1, "image_missing")


def test_what_anybody_may_fetch_is_private_no_more(tmp_path: Path) -> None:
    life = Life(FakeEngine(pullable={IMAGE}), tmp_path)
    life.want(with_image(1, LOGIN))
    life.want(with_image(2, None))
    life.want(with_image(3, None))
    assert [life.seen(number) for number in (1, 2, 3)] == [("running", 1, None)] * 3
    assert life.engine.pulls == [(IMAGE, LOGIN), (IMAGE, None)], "the third is not asked about"


def test_a_task_asks_once_and_others_images_are_not_asked_about(tmp_path: Path) -> None:
    life = Life(guarded(), tmp_path)
    life.want(with_image(1, LOGIN))
    life.want(with_image(1, LOGIN), task(2))
    assert life.engine.pulls == [(IMAGE, LOGIN)]


def test_logins_are_nowhere_on_the_disk_or_in_the_container(tmp_path: Path) -> None:
    life = Life(guarded(), tmp_path)
    life.want(with_image(1, LOGIN))
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "intended_generation" in written
    assert ADA[1] not in written
    assert ADA[1] not in repr(life.engine.plans)
    assert ADA[1] not in repr(with_image(1, LOGIN))


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(SAVED, id="name of a saved disk"),
        pytest.param(f"docker.io/{SAVED}", id="its name on the hub"),
        pytest.param(short_id(SAVED), id="beginning of its id"),
        pytest.param("spotyard/empty:1", id="name of the agent's own"),
        pytest.param("hosts/own:1", id="image that the host has made"),
        pytest.param(short_id("hosts/own:1"), id="beginning of its id"),
        pytest.param("of/lent:1", id="image made of a lent one"),
        pytest.param(short_id("image:1"), id="beginning of the id of a lent one"),
    ],
)
def test_what_lies_here_is_not_anybodys(tmp_path: Path, wanted: str) -> None:
    engine = FakeEngine(refused={wanted})
    engine.images |= dict.fromkeys((SAVED, "spotyard/empty:1", "hosts/own:1", "of/lent:1"), ())
    engine.lent |= {SAVED: "image", "of/lent:1": "image"}
    life = Life(engine, tmp_path)
    life.want(with_image(1, None, wanted))
    assert life.seen(1) == ("failed", 1, "image_missing")
    assert engine.plans == []


def test_nothing_is_fetched_that_would_take_the_place_of_a_saved_disk(tmp_path: Path) -> None:
    life = Life(FakeEngine(pullable={SAVED}), tmp_path)
    life.want(with_image(1, None, SAVED))
    assert life.seen(1) == ("failed", 1, "image_missing")
    assert life.engine.pulls == []


def test_an_image_that_the_host_has_fetched_is_asked_about_once(tmp_path: Path) -> None:
    life = Life(FakeEngine(images={IMAGE: ()}, pullable={IMAGE}), tmp_path)
    life.want(with_image(1, None), with_image(2, None))
    assert [life.seen(number) for number in (1, 2)] == [("running", 1, None)] * 2
    again = Life(life.engine, tmp_path)
    again.want(with_image(3, None))
    assert again.seen(3) == ("running", 1, None)
    assert life.engine.pulls == [(IMAGE, None)]


def test_a_tag_that_names_another_image_now_is_asked_about(tmp_path: Path) -> None:
    free = FreeImages(tmp_path)
    free.add("sha256:1", "team/app", {"sha256:1", "sha256:2"})
    free.add("sha256:2", "team/tool", {"sha256:2"})
    known = FreeImages(tmp_path)
    assert known.has("sha256:2", "team/tool")
    assert not known.has("sha256:2", "team/app")
    assert not known.has("sha256:1", "team/app"), "it is gone"
    (tmp_path / "free-images.json").write_text("{")
    assert not FreeImages(tmp_path).has("sha256:2", "team/tool")


@pytest.mark.parametrize(
    ("image", "addresses", "refused"),
    [
        ("ubuntu:22.04", ["10.0.0.1"], False),
        ("ghcr.io/team/app:1", ["140.82.121.33", "2a0a:a440::1"], False),
        ("unknown.example/app", [], False),
        ("127.0.0.1:22/app", ["127.0.0.1"], True),
        ("localhost:5000/app", ["::1", "127.0.0.1"], True),
        ("192.168.1.1:80/app", ["192.168.1.1"], True),
        ("rebound.example/app", ["93.184.216.34", "169.254.169.254"], True),
        ("six.example/app", ["fd00::1"], True),
        ("shared.example/app", ["100.64.0.1"], True),
    ],
)
def test_registries_of_the_hosts_own_network_are_no_guests_to_name(
    image: str, addresses: list[str], refused: bool
) -> None:
    if refused:
        with pytest.raises(TaskError, match="not on the internet"):
            require_public(image, lambda _host: addresses)
    else:
        require_public(image, lambda _host: addresses)


def test_a_task_with_such_an_image_fails_without_a_question(tmp_path: Path) -> None:
    life = Life(FakeEngine(pullable={"127.0.0.1:22/app:1"}), tmp_path)
    life.want(with_image(1, None, "127.0.0.1:22/app:1"))
    assert life.seen(1) == ("failed", 1, "image_missing")
    assert life.engine.pulls == []


def test_addresses_are_looked_up_and_names_without_are_left_to_the_engine() -> None:
    assert set(addresses_of("localhost")) <= {"127.0.0.1", "::1"}
    assert addresses_of("no-such-name.invalid") == []
    assert addresses_of("a" * 300) == []


def test_an_image_that_fills_the_disk_is_given_up_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(pullable={IMAGE})
    life = Life(engine, tmp_path)
    room = iter([True, False])
    monkeypatch.setattr(tools, "has_room", lambda _tools, _more: next(room))
    monkeypatch.setattr(steps, "_DISK_SECONDS", -1.0)
    life.want(with_image(1, None))
    assert life.seen(1) == ("failed", 1, "disk_full")
    assert IMAGE not in engine.images


def test_an_image_larger_than_its_share_of_the_disk_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "_LARGE_IMAGE_BYTES", 999)
    monkeypatch.setattr(tools, "_IMAGE_SHARE", 0.0)
    engine = FakeEngine(pullable={IMAGE}, image_bytes=1000)
    life = Life(engine, tmp_path, data_root=str(tmp_path))
    life.want(with_image(1, None))
    assert life.seen(1) == ("failed", 1, "disk_full")
    assert IMAGE not in engine.images
    engine.image_bytes = 999
    life.want(with_image(2, None))
    assert life.seen(2) == ("running", 1, None)


def test_an_image_that_the_host_has_itself_is_never_deleted_for_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "_LARGE_IMAGE_BYTES", 999)
    monkeypatch.setattr(tools, "_IMAGE_SHARE", 0.0)
    engine = FakeEngine(images={IMAGE: ()}, pullable={IMAGE}, image_bytes=1000)
    life = Life(engine, tmp_path, data_root=str(tmp_path))
    life.want(with_image(1, None))
    assert life.seen(1) == ("failed", 1, "disk_full")
    assert IMAGE in engine.images


@pytest.mark.engine
def test_the_beginning_of_an_id_is_no_name_to_the_real_engine_either(host: Host, engine: docker.DockerClient) -> None:
    lent = engine.images.get(images.build("nosshd", engine))
    digest = str(lent.id).removeprefix("sha256:")
    host.start()
    for number, name in enumerate((digest[:12], digest, f"sha256:{digest}", SAVED), start=1):
        host.market.desire(host.args_task("sleep 1000", number, image=name))
        told = host.market.await_phase(number, "failed")
        assert told.reason in ("image_missing", "image_pull_failed", "registry_unreachable"), told
        assert host.containers(number) == []


@pytest.mark.engine
@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_refusals_of_a_real_registry_are_told_apart(engine: docker.DockerClient, scheme: Scheme) -> None:
    docker_engine = DockerEngine()
    with Registry(engine, login=ADA, others=(BEN,), scheme=scheme) as registry:
        wrong = RegistryLogin(registry=registry.address, username="ada", password="wrong")
        for image, login, sentence in (
            (registry.image, None, f"The image {registry.image} does not exist, or needs a login to its registry."),
            (
                registry.image,
                wrong,
                f"The registry {registry.address} refuses the login: user name or password is wrong.",
            ),
            (registry.image, login_to(registry, BEN), f"has no right to the image {registry.image}"),
            (f"{registry.address}/team/app:2", login_to(registry), f"has no image {registry.address}/team/app:2"),
            (f"{registry.address}/no/such:1", login_to(registry), f"has no image {registry.address}/no/such:1"),
        ):
            with pytest.raises(TaskError) as refused:
                docker_engine.pull(image, WATCH, login)
            assert sentence in refused.value.message
            assert refused.value.reason == "image_missing"
        docker_engine.pull(registry.image, WATCH, login_to(registry))
        found = docker_engine.found_image(registry.image)
        assert found is not None
        assert f"{registry.address}/team/app" in found.repositories
        with pytest.raises(TaskError):
            docker_engine.pull(registry.image, WATCH)
        address = registry.address
    with pytest.raises(TaskError) as refused:
        docker_engine.pull(f"{address}/team/app:1", WATCH, LOGIN)
    assert "can't be reached" in refused.value.message


@pytest.mark.engine
def test_a_private_image_runs_for_who_has_the_login(host: Host, engine: docker.DockerClient) -> None:
    with Registry(engine, login=ADA, others=(BEN,)) as registry:
        host.start()
        image = {"image": registry.image}
        mine = host.args_task("sleep 1000", 1, **image, registry_login=login_to(registry))
        host.market.desire(mine)
        host.market.await_phase(1, "running")
        host.market.desire(host.args_task("sleep 1000", 2, **image))
        host.market.desire(host.args_task("sleep 1000", 3, **image, registry_login=login_to(registry, BEN)))
        assert "needs a login" in host.market.await_phase(2, "failed").message
        assert "has no right" in host.market.await_phase(3, "failed").message
        by_id = host.args_task("sleep 1000", 4, image=str(engine.images.get(registry.image).id))
        host.market.desire(by_id)
        host.market.await_phase(4, "failed")
        shown = str(host.container(1).attrs)
        kept = "".join(path.read_text(errors="replace") for path in host.state.rglob("*") if path.is_file())
        host.end()
        for text in (shown, kept, host.output):
            assert ADA[1] not in text
            assert BEN[1] not in text
        host.kill()
        for container in host.containers(1):
            container.remove(force=True)
