"""The agent replaces itself, for real: processes, environments and the launcher, without an engine and without systemd,
whose part (starting again what ended) is a loop here."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.backoff import Backoff
from agent.installer import launch, versions
from agent.installer import service as unit_texts
from agent.installer.launch import LaunchState, Places
from agent.installer.layout import Layout
from agent.installer.versions import TOP
from agent.protocol import AgentRelease, ErrorReply, UpdateFailure
from agent.server import ServerAwayError
from agent.upkeep import status
from agent.upkeep.updater import HEALTHY_SYNCS, Place, Updater
from hosting.gateways.agent_bundle import AgentBundle, make_bundle
from tests.agent.marketplace import TOKEN, Marketplace
from tests.agent.program import NO_ENGINE, ROOT
from tests.plumbing.bare_machine import ensure_wheels

OLD = "0.1.0+installed"
UNIT = unit_texts.unit(Layout(), "https://site", "/usr/bin/python3", Path("/var/lib/docker"))
FINAL = {int(code) for code in re.search(r"^RestartPreventExitStatus=(.*)$", UNIT, re.MULTILINE)[1].split()}  # type: ignore[index]  # it is there


@pytest.fixture
def market() -> Iterator[Marketplace]:
    with Marketplace() as started:
        yield started


def changed_agent(directory: Path, **changes: Callable[[str], str]) -> AgentBundle:
    """A bundle of this agent with files changed; names are modules of ``agent``."""
    shutil.copytree(ROOT / "agent", directory / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "dlperf", directory / "dlperf", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "LICENSE", directory)
    for name, change in changes.items():
        file = directory / "agent" / f"{name}.py"
        file.write_text(change(file.read_text()))
    return make_bundle(directory)


class Service:
    """What systemd does with the unit: starts the launcher, and again when it ends, but not with every status."""

    def __init__(self, root: Path, server: str) -> None:
        self.places = Places(root)
        self.exits: list[int] = []
        self._ending = False
        options = [f"--server={server}", f"--state-dir={root}/var/lib/spotyard", "--simulate=2x RTX 3090"]
        self.places.config.parent.mkdir(parents=True)
        self.places.config.write_text("\n".join(["# a comment", "", *options, "--no-firewall"]))
        self.places.token.write_text(TOKEN)
        self.have(OLD)
        launch.change_state(self.places.state, lambda _: LaunchState(good=OLD))

    def have(self, version: str, source: Path = ROOT) -> None:
        """A version that was installed by hand, with the packages of this run."""
        home = self.places.opt / "versions" / version
        shutil.copytree(source / "agent", home / TOP / "agent", ignore=shutil.ignore_patterns("__pycache__"))
        (home / TOP / "agent/build.txt").write_text(version)
        (home / "venv/bin").mkdir(parents=True)
        python = home / "venv/bin/python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)

    def __enter__(self) -> "Service":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._process.terminate()
        self._thread.join()

    def _run(self) -> None:
        launcher = ROOT / "agent/installer/launch.py"
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(ensure_wheels()), "PYTHONPATH": ""}
        with (self.places.root / "log").open("ab") as log:
            while not self._ending:
                command = [sys.executable, "-I", str(launcher), str(self.places.root)]
                self._process = subprocess.Popen(command, env=os.environ | NO_ENGINE | pip, stdout=log, stderr=log)
                self.exits.append(self._process.wait())
                if self.exits[-1] in FINAL:
                    return

    def await_end(self) -> None:
        """Until it is not started again."""
        self._thread.join(60)
        assert not self._thread.is_alive(), self.log

    @property
    def state(self) -> LaunchState:
        return launch.read_state(self.places.state)

    @property
    def log(self) -> str:
        return (self.places.root / "log").read_text()


def given_up(market: Marketplace, bundle: AgentBundle) -> UpdateFailure:
    """What the agent tells after this version was offered to the one that was installed."""
    market.await_that(lambda: bool(market.syncs) and market.syncs[-1].agent_version == OLD)
    market.offer(bundle.version, bundle.content)
    market.await_that(lambda: market.syncs[-1].update_failure is not None)
    failure = market.syncs[-1].update_failure
    assert failure is not None
    return failure


def test_a_broken_version_gives_way_and_a_good_one_stays(market: Marketplace, tmp_path: Path) -> None:
    broken = changed_agent(
        tmp_path / "broken", host_agent=lambda text: text.replace("self._upkeep.start()", 'raise OSError("broken")')
    )
    good = changed_agent(tmp_path / "good", backoff=lambda text: f"{text}\n# another version\n")
    service = Service(tmp_path / "host", market.url)
    service.have(broken.version, tmp_path / "broken")
    with service:
        failure = given_up(market, broken)
        assert (market.syncs[-1].agent_version, failure.version) == (OLD, broken.version), service.log
        assert "ended 3 times" in failure.why
        assert (service.exits[0], len(service.exits)) == (75, 1 + launch.MOST_STARTS)

        market.offer(broken.version, broken.content)  # it is offered still, and left alone
        seen = len(market.syncs)
        market.await_that(lambda: len(market.syncs) > seen + 1)
        assert len(service.exits) == 1 + launch.MOST_STARTS

        market.holds = False  # so that answers come quickly
        market.offer(good.version, good.content)
        market.await_that(lambda: market.syncs[-1].agent_version == good.version)
        market.await_that(lambda: service.state.good == good.version)
        current = service.places.opt / "current"
        market.await_that(lambda: launch.installed_versions(service.places.opt) == [good.version])
        assert current.resolve().name == good.version
        assert service.state.trial == ""
        assert len({sync.boot_id for sync in market.syncs}) == 1
    told = status.read(service.places.root / "var/lib/spotyard")
    assert told is not None
    assert (told.version, told.machine_id) == (good.version, 7)


RELEASE = AgentRelease(version="0.1.0+bbbbbbbb", digest="0" * 64, size_bytes=10, url="http://x/bundle")


class Rig:
    """An updater whose surroundings are the test's. What it wants is there already."""

    def __init__(self, directory: Path, *, installed: bool = True) -> None:
        self.place = Place(directory, directory / "launch.json", sys.executable)
        (self.place.versions / "a").mkdir(parents=True)
        if installed:
            (self.place.versions / RELEASE.version).mkdir()
        launch.change_state(self.place.state, lambda _: LaunchState(good="a"))
        self.quiet = threading.Event()
        self.asked = threading.Event()
        self.restarted = threading.Event()
        self.fetches = 0
        self.content = b""
        self.before_quiet: Callable[[], None] = lambda: None
        self.updater = Updater(
            self.place,
            fetch=self._fetch,
            is_quiet=self._is_quiet,
            restart=self.restarted.set,
            own="a",
            backoff=lambda: Backoff(0.001, 0.001),
        )

    def _fetch(self, _url: str) -> Iterator[bytes]:
        self.fetches += 1
        if self.content:
            yield self.content
            return
        if self.fetches < 3:
            raise ServerAwayError("no connection")
        yield b"not what was"
        yield b" announced"

    def _is_quiet(self) -> bool:
        self.asked.set()
        self.before_quiet()
        return self.quiet.is_set()

    @property
    def state(self) -> LaunchState:
        return launch.read_state(self.place.state)


def test_a_version_that_does_not_take_the_hosts_options_is_never_begun(market: Marketplace, tmp_path: Path) -> None:
    changed_options = changed_agent(
        tmp_path / "renamed", __main__=lambda text: text.replace('"--no-firewall"', '"--without-firewall"')
    )
    service = Service(tmp_path / "host", market.url)
    service.have(changed_options.version, tmp_path / "renamed")
    with service:
        failure = given_up(market, changed_options)
        assert "--no-firewall" in failure.why
        assert (market.syncs[-1].agent_version, service.exits) == (OLD, []), service.log


@pytest.mark.parametrize("code", [2, 3])
def test_a_version_that_ends_as_if_it_were_refused_gives_way(market: Marketplace, tmp_path: Path, code: int) -> None:
    broken = changed_agent(
        tmp_path / "broken",
        host_agent=lambda text: text.replace("self._upkeep.start()", f"raise SystemExit({code})"),
    )
    service = Service(tmp_path / "host", market.url)
    service.have(broken.version, tmp_path / "broken")
    with service:
        given_up(market, broken)
        assert market.syncs[-1].agent_version == OLD, service.log
        assert service.exits == [75, 1, 1, 1]


def test_an_agent_that_the_marketplace_does_not_know_any_more_stays_away(market: Marketplace, tmp_path: Path) -> None:
    with Service(tmp_path / "host", market.url) as service:
        market.await_that(lambda: bool(market.syncs))
        with market.condition:
            market.refusal = (401, ErrorReply(error="credential_revoked", msg="Removed."))
            market.generation += 1
            market.condition.notify_all()
        service.await_end()
        assert service.exits == [3]


def test_it_waits_for_a_quiet_moment(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.updater.want(RELEASE)
    assert rig.asked.wait(10)
    assert rig.state.trial == ""
    assert "as soon as nothing is being started" in rig.updater.told
    rig.quiet.set()
    assert rig.restarted.wait(10)
    assert rig.state == LaunchState(good="a", trial=RELEASE.version)


def test_what_is_taken_back_meanwhile_is_not_done(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.updater.want(RELEASE)
    assert rig.asked.wait(10)
    rig.updater.want(None)
    rig.updater.wait(10)
    rig.quiet.set()
    assert not rig.restarted.is_set()
    assert rig.state == LaunchState(good="a")


@pytest.mark.parametrize("version", ["a", "failed before"])
def test_its_own_version_and_one_that_failed_are_no_news(tmp_path: Path, version: str) -> None:
    rig = Rig(tmp_path)
    launch.change_state(rig.place.state, lambda _: LaunchState(good="a", failed="failed before", why="it did"))
    rig.updater.want(AgentRelease(version=version, digest="0" * 64, size_bytes=1, url="http://x"))
    rig.updater.wait(10)
    assert not rig.asked.is_set()
    failure = rig.updater.failure()
    assert failure is not None
    assert (failure.version, failure.why) == ("failed before", "it did")


def test_what_is_damaged_or_can_t_be_fetched_is_tried_again_later(tmp_path: Path) -> None:
    rig = Rig(tmp_path, installed=False)
    rig.updater.want(RELEASE)
    while rig.fetches < 5:
        assert not rig.restarted.is_set()
    rig.updater.stop()
    rig.updater.wait(10)
    assert "could not be installed yet: The agent's bundle is damaged" in rig.updater.told
    assert rig.state == LaunchState(good="a")
    assert launch.installed_versions(tmp_path) == ["a"]


def test_enough_answers_confirm_a_trial_and_others_go(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    launch.change_state(rig.place.state, lambda _: LaunchState(good="before", trial="a", starts=1))
    (rig.place.versions / ".half.new").mkdir()
    for _ in range(HEALTHY_SYNCS - 1):
        rig.updater.answered()
    assert rig.state.good == "before"
    rig.updater.answered()
    assert rig.state == LaunchState(good="a")
    assert launch.installed_versions(tmp_path) == ["a"]


def test_an_agent_that_is_too_old_becomes_the_one_that_is_offered(market: Marketplace, tmp_path: Path) -> None:
    good = changed_agent(tmp_path / "good", backoff=lambda text: f"{text}\n# another version\n")
    service = Service(tmp_path / "host", market.url)
    service.have(good.version, tmp_path / "good")
    with service:
        market.await_that(lambda: bool(market.syncs))
        market.offer(good.version, good.content)
        market.refusal = (426, ErrorReply(error="unsupported_protocol", msg="Update the agent.", agent=market.release))
        market.await_that(lambda: service.exits == [75])
        assert service.state.trial == good.version
        market.refusal = None
        market.await_that(lambda: market.syncs[-1].agent_version == good.version)


def test_what_is_taken_back_while_it_is_installed_is_not_begun(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.quiet.set()
    rig.before_quiet = lambda: rig.updater.want(None)
    rig.updater.want(RELEASE)
    rig.updater.wait(10)
    assert not rig.restarted.is_set()
    assert (rig.state, rig.updater.told) == (LaunchState(good="a"), "")


def test_of_two_that_are_offered_in_a_row_the_second_begins(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    second = AgentRelease(version="0.1.0+cccccccc", digest="1" * 64, size_bytes=10, url="http://x/bundle")
    (rig.place.versions / second.version).mkdir()
    rig.updater.want(RELEASE)
    assert rig.asked.wait(10)
    rig.updater.want(second)
    rig.quiet.set()
    assert rig.restarted.wait(10)
    assert rig.state == LaunchState(good="a", trial=second.version)


def test_going_back_from_a_trial_is_no_failure_of_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    launch.change_state(rig.place.state, lambda _: LaunchState(good=RELEASE.version, trial="a", starts=1))
    rig.quiet.set()
    rig.updater.want(RELEASE)
    assert rig.restarted.wait(10)
    assert rig.state == LaunchState(good=RELEASE.version)


def test_a_full_disk_delays_what_has_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path)
    launch.change_state(rig.place.state, lambda _: LaunchState(good="before", trial="a", starts=1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(launch, "_write", full)
        for _ in range(HEALTHY_SYNCS + 1):
            rig.updater.answered()
        assert rig.state.good == "before"
    rig.updater.answered()
    assert rig.state.good == "a"


def test_two_that_make_one_version_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def make(_bundle: versions.Bundle, target: Path, _python: str) -> None:
        made.append(target)
        target.mkdir()

    monkeypatch.setattr(versions, "_make", make)
    monkeypatch.setattr(versions, "works", lambda target: target.is_dir())
    bundle = versions.Bundle(tmp_path / "bundle", "0.1.0+a", "0" * 64)
    threads = [
        threading.Thread(target=versions.make_version, args=(bundle, tmp_path / "versions", "python3"))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [tmp_path / "versions" / "0.1.0+a"]


def test_a_version_that_does_not_start_any_more_is_made_anew_and_leftovers_go(tmp_path: Path) -> None:
    bundle = changed_agent(tmp_path / "source")
    file = tmp_path / "bundle.tar.gz"
    file.write_bytes(bundle.content)
    home = tmp_path / "versions" / bundle.version
    (home / "venv/bin").mkdir(parents=True)
    (home / "venv/bin/python").symlink_to("/usr/bin/python-that-is-gone")
    (home.parent / ".0.1.0+killed.new").mkdir()
    assert not versions.works(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(ensure_wheels()))
        made = versions.make_version(versions.Bundle(file, bundle.version, bundle.digest), home.parent, sys.executable)
    assert made == home
    assert versions.works(home)
    assert {path.name for path in home.parent.iterdir()} == {".lock", bundle.version}


def test_a_disk_that_is_full_while_unpacking_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = changed_agent(tmp_path / "source")
    rig = Rig(tmp_path / "host", installed=False)
    rig.content = bundle.content

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tarfile.TarFile.extractall", full)
    rig.updater.want(AgentRelease(version=bundle.version, digest=bundle.digest, size_bytes=1, url="http://x"))
    while "No space left" not in rig.updater.told:
        assert not rig.restarted.is_set()
    rig.updater.stop()
    rig.updater.wait(10)
    assert rig.state == LaunchState(good="a")
    assert {path.name for path in rig.place.versions.iterdir()} == {"a", ".lock"}


def test_what_is_no_archive_is_given_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, installed=False)
    rig.content = b"no archive"
    digest = hashlib.sha256(rig.content).hexdigest()
    rig.updater.want(AgentRelease(version="0.1.0+x", digest=digest, size_bytes=1, url="http://x"))
    rig.updater.wait(10)
    assert (rig.state.failed, rig.state.why[:28]) == ("0.1.0+x", "The agent's bundle is no arc")
