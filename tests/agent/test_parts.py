"""The small parts: what Docker says in the client's words, pull progress, traffic, threads, the engine's watch."""

import io
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.engine.errors import pull_refusal, refusal
from agent.engine.hub import EngineHub
from agent.engine.inspected import ended_with_engine, facts_of
from agent.engine.profile import gpu_requests
from agent.engine.pull import PullProgress
from agent.engine.timestamps import instant
from agent.engine.types import NEVER
from agent.guest.files import first_files, keys_digest
from agent.pool import Pool
from agent.printable import printable
from agent.tasks.memory import MemoryStore, TaskMemory, Traffic, TrafficStore, Verdict
from agent.usage import interface_bytes
from tests.agent.fakes import FakeEngine


@pytest.mark.parametrize(
    ("said", "reason", "sentence"),
    [
        (
            "driver failed programming external connectivity on endpoint x (1f): Error starting userland proxy: "
            "listen tcp4 0.0.0.0:20013: bind: address already in use",
            "port_taken",
            "Port 20013 on the host is already in use by another program.",
        ),
        (
            "driver failed programming external connectivity on endpoint x: Bind for 0.0.0.0:20013 failed: "
            "port is already allocated",
            "port_taken",
            "Port 20013 on the host is already in use by another program.",
        ),
        ("write /var/lib/docker/x: no space left on device", "disk_full", "The host's disk is full."),
        (
            'could not select device driver "" with capabilities: [[gpu]]',
            "gpu_unavailable",
            "The host's GPU driver or NVIDIA container runtime is not working, so the GPUs can't be attached.",
        ),
        (
            "OCI runtime create failed: nvidia-container-cli: initialization error: nvml error: driver not loaded",
            "gpu_unavailable",
            "The host's GPU driver or NVIDIA container runtime is not working, so the GPUs can't be attached.",
        ),
        (
            'OCI runtime create failed: exec: "foo": executable file not found in $PATH: unknown',
            "command_not_found",
            "The command does not exist in the image.",
        ),
        (
            "standard_init_linux.go:228: exec user process caused: exec format error",
            "command_not_found",
            "The image is built for another processor architecture than the host's.",
        ),
        (
            'exec: "docker-init": executable file not found in $PATH',
            "engine_error",
            "The host's container engine is incomplete: it lacks docker-init (on Debian and Ubuntu, the package tini).",
        ),
        ("something  new\nhappened", "engine_error", "The container engine refused: something new happened"),
    ],
)
def test_refusals_in_plain_words(said: str, reason: str, sentence: str) -> None:
    error = refusal(said)
    assert (error.reason, error.message) == (reason, sentence)


def test_long_refusals_are_shortened() -> None:
    assert len(refusal("x" * 5000).message) < 400


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("a\0b", "a b"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("two\r\n\tlines", "two lines"),
        ("half \ud800 a pair", "half a pair"),
        ("\u202egnp.exe \x7f\x85 é漢", "gnp.exe é漢"),
    ],
)
def test_only_printable_text_is_told_of_what_engine_and_registry_say(said: str, told: str) -> None:
    assert refusal(said).message == f"The container engine refused: {told}"
    assert pull_refusal("acme/x:9", said).message == f"The image acme/x:9 could not be fetched: {told}"
    assert printable(said) == told


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("pull access denied for x, repository does not exist or may require 'docker login'", "image_missing"),
        ("manifest for x:9 not found: manifest unknown: manifest unknown", "image_missing"),
        ("no matching manifest for linux/amd64 in the manifest list entries", "image_missing"),
        ("invalid reference format", "image_missing"),
        (
            "Get https://registry-1.docker.io/v2/: dial tcp: lookup registry-1.docker.io: no such host",
            "image_pull_failed",
        ),
        ("toomanyrequests: You have reached your pull rate limit.", "image_pull_failed"),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk_full"),
        ("the registry is on fire", "image_pull_failed"),
    ],
)
def test_failed_pulls_in_plain_words(said: str, reason: str) -> None:
    error = pull_refusal("acme/x:9", said)
    assert error.reason == reason
    assert "acme/x:9" in error.message


def test_pull_progress_rises_from_nothing_to_all() -> None:
    progress = PullProgress()
    shares = [
        progress.update(message)
        for message in (
            {"status": "Pulling from library/x", "id": "latest"},
            {"status": "Downloading", "id": "a", "progressDetail": {"current": 50, "total": 100}},
            {"status": "Downloading", "id": "b", "progressDetail": {"current": 100, "total": 300}},
            {"status": "Download complete", "id": "a", "progressDetail": {}},
            {"status": "Download complete", "id": "b", "progressDetail": {}},
            {"status": "Extracting", "id": "a", "progressDetail": {"current": 50, "total": 100}},
            {"status": "Pull complete", "id": "a", "progressDetail": {}},
            {"status": "Pull complete", "id": "b", "progressDetail": {}},
            {"status": "Digest: sha256:0"},
        )
    ]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    # 100 of 400 bytes fetched, fetching being 0.7 of the work, then all of them, then everything unpacked
    assert shares[1:6] == [pytest.approx(0.35), *[pytest.approx(share) for share in (0.35, 0.35, 0.7, 0.7375)]]
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("labels", "requests", "gpus"),
    [
        ({"spotyard.gpus": "GPU-1,GPU-2"}, None, {"GPU-1", "GPU-2"}),
        ({"spotyard.gpus": ""}, [{"DeviceIDs": ["GPU-9"]}], set()),
        ({}, [{"Driver": "", "Count": 0, "DeviceIDs": ["GPU-2", "GPU-1"]}], {"GPU-1", "GPU-2"}),
        (None, [{"DeviceIDs": ["GPU-1"]}, {"DeviceIDs": ["GPU-2"]}], {"GPU-1", "GPU-2"}),
        ({}, [{"Count": -1, "DeviceIDs": None}], None),
        ({}, [], None),
        ({}, None, None),
    ],
)
def test_gpus_of_a_container_even_of_an_agent_that_did_not_note_them(
    labels: dict[str, str] | None, requests: list[dict[str, object]] | None, gpus: set[str] | None
) -> None:
    inspected = {
        "Id": "c",
        "State": {"Status": "exited"},
        "Config": {"Labels": labels},
        "HostConfig": {"DeviceRequests": requests},
    }
    assert facts_of(inspected, None).gpus == gpus


def test_exactly_the_gpus_of_the_contract() -> None:
    (request,) = gpu_requests(["GPU-1", "GPU-2"])
    assert request["DeviceIDs"] == ["GPU-1", "GPU-2"]
    assert request["Capabilities"] == [["gpu"]]
    assert gpu_requests([]) == []


def test_timestamps_of_the_engine() -> None:
    assert instant("2026-01-01T00:00:00.5Z") == instant("2026-01-01T01:00:00.500000001+01:00")
    assert instant(NEVER) < 0


@pytest.mark.parametrize(
    ("started", "finished", "how", "ended_with_it"),
    [
        ("10:00:00", "2026-01-01T11:59:55Z", {}, True),
        ("10:00:00", "2026-01-01T12:00:03Z", {}, True),
        ("10:00:00", "2026-01-01T11:00:00Z", {}, False),
        ("10:00:00", "2026-01-01T11:00:00Z", {"ExitCode": 143}, True),
        ("10:00:00", "2026-01-01T11:00:00Z", {"ExitCode": 137}, True),
        ("10:00:00", "2026-01-01T11:00:00Z", {"ExitCode": 137, "OOMKilled": True}, False),
        ("12:00:01", "2026-01-01T12:00:02Z", {"ExitCode": 143}, False),
        ("10:00:00", NEVER, {}, False),
    ],
)
def test_ends_that_are_the_engines_own(started: str, finished: str, how: dict[str, Any], ended_with_it: bool) -> None:
    state = {"StartedAt": f"2026-01-01T{started}Z", "FinishedAt": finished, **how}
    assert ended_with_engine(state, instant("2026-01-01T12:00:00Z")) is ended_with_it
    assert ended_with_engine(state, None) is False


def test_files_of_an_ssh_container() -> None:
    content = first_files("echo hi\r\n", ["ssh-ed25519 A a\n", "ssh-rsa B b"])
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        modes = {entry.name: entry.mode for entry in archive.getmembers()}
        onstart, keys = archive.extractfile("root/onstart.sh"), archive.extractfile(".spotyard/authorized_keys")
        assert onstart is not None
        assert keys is not None
        assert onstart.read() == b"echo hi\n"
        assert keys.read() == b"ssh-ed25519 A a\nssh-rsa B b\n"
    assert modes[".spotyard/authorized_keys"] == 0o600
    assert modes[".spotyard/start.sh"] == 0o755
    with tarfile.open(fileobj=io.BytesIO(first_files("", []))) as archive:
        assert "root/onstart.sh" not in archive.getnames()
    assert keys_digest(["a"]) != keys_digest(["b"])


def test_memory_survives_and_is_private(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "tasks")
    verdict = Verdict(run_generation=3, reason="disk_full", message="Full.")
    memory = TaskMemory(task_id=4, created=True, intended_generation=3, verdict=verdict)
    store.save(memory)
    store.save(TaskMemory(task_id=5))
    assert MemoryStore(tmp_path / "tasks").load_all() == {4: memory, 5: TaskMemory(task_id=5)}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tasks").iterdir()} == {0o600}
    store.delete(5)
    store.delete(5)
    assert list(store.load_all()) == [4]


def test_half_written_memory_is_ignored(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    store.save(TaskMemory(task_id=4))
    (tmp_path / "task-4.new").write_text('{"task_id"')
    assert store.load_all() == {4: TaskMemory(task_id=4)}


def test_traffic_adds_up_over_runs_and_restarts(tmp_path: Path) -> None:
    store = TrafficStore(tmp_path)
    traffic = Traffic()
    traffic.count("run 1", 100, 10)
    traffic.count("run 1", 150, 20)
    store.save(1, traffic)
    again = store.load(1)
    again.count("run 2", 5, 5)
    assert (again.rx_bytes, again.tx_bytes) == (155, 25)
    store.delete(1)
    assert store.load(1) == Traffic()


def test_interface_counters(tmp_path: Path) -> None:
    directory = tmp_path / "42" / "net"
    directory.mkdir(parents=True)
    (directory / "dev").write_text(
        "Inter-|   Receive\n face |bytes\n"
        "    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n"
        "  eth0: 100 1 0 0 0 0 0 0 30 1 0 0 0 0 0 0\n"
    )
    assert interface_bytes(42, tmp_path) == (100, 30)
    assert interface_bytes(43, tmp_path) is None


def test_pool_runs_everything_on_few_threads() -> None:
    pool, done = Pool(3, "test"), threading.Semaphore(0)
    threads: set[str] = set()
    gate = threading.Event()

    def job() -> None:
        threads.add(str(threading.get_ident()))
        gate.wait(10)
        done.release()

    for _ in range(20):
        pool.submit(job)
    gate.set()
    assert all(done.acquire(timeout=10) for _ in range(20))
    assert len(threads) <= 3


def test_pool_survives_a_job_that_fails() -> None:
    pool, done = Pool(1, "test"), threading.Event()

    def fails() -> None:
        raise RuntimeError("on purpose")

    pool.submit(fails)
    pool.submit(done.set)
    assert done.wait(10)


def test_blocked_job_holds_up_no_other() -> None:
    pool, gate, done = Pool(2, "test"), threading.Event(), threading.Event()

    def blocked() -> None:
        gate.wait(10)

    pool.submit(blocked)
    pool.submit(done.set)
    assert done.wait(10)
    gate.set()


class Listener:
    def __init__(self) -> None:
        self.listings: list[dict[int, bool]] = []
        self.backs = 0
        self.errors = 0

    def on_event(self, task_id: int) -> None:
        """Not in these tests."""

    def on_listing(self, running: dict[int, bool]) -> None:
        self.listings.append(running)

    def on_engine_back(self) -> None:
        self.backs += 1

    def error_changed(self) -> None:
        self.errors += 1


def test_watch_notices_an_engine_that_goes_and_comes_back() -> None:
    engine, listener, ups = FakeEngine(down=True), Listener(), []
    hub = EngineHub(engine, on_up=lambda: ups.append(1))
    hub.subscribe("7-x", listener, listener.error_changed)
    hub._look()
    seen = [hub.error]
    assert listener.listings == []
    engine.down = False
    hub._look()
    seen.append(hub.error)
    assert (listener.backs, listener.listings, ups) == (1, [{}], [1])
    assert engine.network_sweeps == 1
    # An engine that was away for less than a look: only its stream of events ended.
    hub._maybe_restarted = True
    hub._look()
    assert (listener.backs, hub.error) == (2, None)
    hub.report_down("It is gone.")
    hub.report_down("It is gone.")
    seen.append(hub.error)
    hub._look()
    assert [*seen, hub.error] == ["The container engine is not running.", None, "It is gone.", None]
    assert (listener.backs, listener.errors) == (3, 4)
