"""What the agent measures and how it tells it: the kernel's log, windows that wait, a server that is away."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.usage import usage_of
from agent.engine.usage_types import ContainerUsage
from agent.inventory import simulated_readings
from agent.inventory.host import HostOptions, RealHost
from agent.inventory.nvml_readings import throttles
from agent.inventory.simulated import SimulatedMachine
from agent.inventory.sources import InventoryError
from agent.pool import Pool
from agent.protocol import decode, encode
from agent.server import RefusedError, ServerAwayError
from agent.telemetry.backlog import Backlog
from agent.telemetry.looking import Looked, Looker
from agent.telemetry.rates import Rates
from agent.telemetry.telling import LOOK_SECONDS, MachineTelemetry, TelemetryRounds
from agent.telemetry.xids import XidLog
from agent.telemetry_protocol import (
    MOST_WINDOWS,
    GpuReading,
    Live,
    MachineReading,
    Stat,
    TelemetryReply,
    TelemetryRequest,
    XidSeen,
)
from hosting.domain.gpu_health import HARDWARE_XIDS
from tests.agent.fakes import FakeEngine, Life, ManualPool, task

SEED = "0123456789abcdef"


def machine(description: str = "2x RTX 3090") -> SimulatedMachine:
    return SimulatedMachine(description, SEED, HostOptions())


def live(number: int, util: float | None) -> Live:
    gpu = GpuReading(uuid="GPU-1", utilization_percent=util)
    return Live(number=number, boot_id="b", gpus=[gpu], machine=MachineReading(), tasks=[])


def test_the_kernels_log_is_counted_by_gpu_and_error() -> None:
    log = XidLog()
    log.take(
        [
            "4,100,5000000,-;NVRM: Xid (PCI:0000:01:00): 31, pid=77, name=python",
            "4,101,9000000,-;NVRM: Xid (PCI:0000:01:00): 31, pid=78, name=python",
            "4,102,12000000,-;NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.",
            "6,103,13000000,-;usb 1-1: new device",
            "4,104,1,-;NVRM: Xid (0000:01:00.0): 13, Graphics Exception",
        ]
    )
    assert log.seen_by("00000000:01:00.0", now=10.0) == [
        XidSeen(xid=13, count=1, age_seconds=9.999999),
        XidSeen(xid=31, count=2, age_seconds=1.0),
    ]
    assert [seen.xid for seen in log.seen_by("0000:41:00", now=13.0)] == [79]
    assert log.seen_by("00000001:41:00.0") == []


def test_a_log_that_can_be_read_only_once_is_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "kmsg"
    file.write_text("4,100,5000000,-;NVRM: Xid (PCI:0000:01:00): 48, pid=1\n")
    log = XidLog(file)
    assert log.look()
    assert log.look()
    assert [(seen.xid, seen.count) for seen in log.seen_by("0000:01:00.0")] == [(48, 1)]
    assert not XidLog(tmp_path / "none").look()


def test_a_minute_of_looks_becomes_one_window() -> None:
    backlog = Backlog()
    for step in range(5):
        backlog.add(live(step, 10.0 * step), 15.0 * step)
    assert [
        (window.number, window.seconds, window.age_seconds, window.gpus["GPU-1"].utilization_percent)
        for window in backlog.due(100.0)
    ] == [(0, 45.0, 55.0, Stat(0.0, 30.0, 60.0, 4))]
    backlog.received(0)
    assert backlog.due(100.0) == []


def test_missing_sensors_and_lost_gpus_leave_no_figures() -> None:
    backlog = Backlog()
    backlog.add(live(0, None), 0.0)
    lost = msgspec.structs.replace(live(1, 50.0), gpus=[GpuReading(uuid="GPU-1", lost=True)])
    backlog.add(lost, 30.0)
    backlog.add(live(2, 1.0), 60.0)
    (window,) = backlog.due(60.0)
    assert window.gpus["GPU-1"].utilization_percent is None


def test_errors_are_counted_in_the_minute_in_which_they_came() -> None:
    backlog = Backlog()

    def look(at: float, corrected: int | None, *xids: XidSeen, lost: bool = False) -> None:
        gpu = GpuReading(uuid="GPU-1", lost=lost, utilization_percent=1.0, ecc_corrected=corrected, xids=list(xids))
        backlog.add(msgspec.structs.replace(live(0, None), gpus=[gpu]), at)

    look(0.0, 7)
    look(15.0, 9, XidSeen(xid=31, count=2, age_seconds=1.0))
    look(60.0, None, XidSeen(xid=31, count=2, age_seconds=46.0))
    look(75.0, 3, XidSeen(xid=31, count=2, age_seconds=61.0))  # the driver was loaded anew
    look(90.0, 3, XidSeen(xid=31, count=2, age_seconds=76.0), XidSeen(xid=79, count=1, age_seconds=0.0), lost=True)
    look(120.0, 3)
    first, second = (window.gpus["GPU-1"] for window in backlog.due(120.0))
    assert (first.new_ecc_corrected, first.new_xids) == (Stat(0, 2, 2, 2), Stat(0, 2, 2, 2))
    assert (second.new_ecc_corrected, second.new_xids) == (Stat(0, 3, 3, 2), Stat(0, 1, 1, 3))
    assert first.new_ecc_uncorrected is None
    assert second.utilization_percent == Stat(1.0, 1.0, 2.0, 2)


@given(st.integers(1, 700), st.integers(4, 40))
def test_whatever_waits_is_bounded_and_loses_no_look(minutes: int, most_kept: int) -> None:
    backlog = Backlog(most_kept=most_kept)
    for minute in range(minutes + 1):
        backlog.add(live(minute, float(minute)), 60.0 * minute)
    seen, numbers, ages = 0, [], []
    while windows := backlog.due(60.0 * minutes):
        assert len(windows) <= MOST_WINDOWS
        for window in windows:
            stat = window.gpus["GPU-1"].utilization_percent
            assert stat is not None
            seen += stat.count
            numbers.append(window.number)
            ages.append(window.age_seconds)
        backlog.received(windows[-1].number)
    assert seen == minutes
    assert len(numbers) <= most_kept
    assert numbers == sorted(set(numbers))
    assert ages == sorted(ages, reverse=True)


def test_rates_need_two_looks_and_forget_counters_that_went_back() -> None:
    rates = Rates()
    assert rates.rate("rx", 100.0, 0.0) is None
    assert rates.rate("rx", 400.0, 10.0) == 30.0
    assert rates.rate("rx", 50.0, 20.0) is None
    assert rates.rate("rx", 60.0, 30.0) == 1.0
    assert rates.rate("rx", None, 40.0) is None
    assert rates.rate("rx", 90.0, 50.0) is None


@pytest.mark.parametrize(
    ("stats", "usage"),
    [
        (
            {
                "cpu_stats": {"cpu_usage": {"total_usage": 5_000_000_000}},
                "memory_stats": {"usage": 300 << 20, "limit": 512 << 20, "stats": {"inactive_file": 100 << 20}},
            },
            ContainerUsage(cpu_seconds=5.0, ram_used_mb=200, ram_limit_mb=512),
        ),
        (
            {"memory_stats": {"usage": 30 << 20, "limit": 2**63 - 4096, "stats": {"total_inactive_file": 10 << 20}}},
            ContainerUsage(cpu_seconds=None, ram_used_mb=20, ram_limit_mb=8796093022207),
        ),
        ({}, ContainerUsage(cpu_seconds=None, ram_used_mb=None, ram_limit_mb=None)),
        (
            {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}},
            ContainerUsage(cpu_seconds=None, ram_used_mb=None, ram_limit_mb=None),
        ),
    ],
)
def test_the_engines_answer_in_either_accounting(stats: dict[str, object], usage: ContainerUsage) -> None:
    found = usage_of(stats)
    assert (found.cpu_seconds, found.ram_used_mb) == (usage.cpu_seconds, usage.ram_used_mb)


def test_throttling_in_words() -> None:
    assert throttles(0x1) == []
    assert throttles(0x20 | 0x4) == ["heat", "power"]
    assert throttles(0x8 | 0x10) == ["hardware", "other"]


def test_simulated_gpus_work_while_a_container_has_them() -> None:
    simulated = machine()
    first, second = simulated.gpus()
    busy, idle = simulated.readings([first.uuid])
    assert (busy.uuid, idle.uuid, idle.utilization_percent) == (first.uuid, second.uuid, 0.0)
    assert busy.utilization_percent is not None
    assert 70 <= busy.utilization_percent <= 100
    assert busy.memory_used_mb is not None
    assert busy.memory_used_mb < first.vram_mb
    reading = simulated.reading([first.uuid])
    assert reading.cpu_percent is not None
    assert reading.cpu_percent > (simulated.reading([]).cpu_percent or 0)


def test_simulated_gpus_have_errors_where_real_ones_do() -> None:
    def seen(model: str, day: float) -> list[GpuReading]:
        return [simulated_readings.gpu(facts, 86_400 * day, busy=True) for facts in machine(f"16x {model}").gpus()]

    assert {reading.ecc_corrected for reading in seen("RTX 3090", 20)} == {None}
    servers = seen("A100 PCIe 40GB", 20)
    assert {reading.ecc_uncorrected for reading in servers} == {0}
    assert 20 >= max(reading.ecc_corrected or 0 for reading in servers) > 0
    xids = [one.xid for reading in servers for one in reading.xids or []]
    assert set(xids) == {31}
    assert len(xids) < 16
    assert {31} & HARDWARE_XIDS.keys() == set()
    later = seen("A100 PCIe 40GB", 25)
    assert all((now.ecc_corrected or 0) >= (then.ecc_corrected or 0) for then, now in zip(servers, later, strict=True))


def test_the_real_machine_is_measured(tmp_path: Path) -> None:
    host = RealHost(HostOptions(), tmp_path)
    first = host.reading([])
    assert first.ram_used_mb is not None
    assert first.disk_free_gb is not None
    assert first.net_rx_bytes_per_s is None
    assert encode(TelemetryRequest(session_id="s", live=live(0, 1.0)))


def test_a_running_task_is_measured_with_its_gpus(tmp_path: Path) -> None:
    engine = FakeEngine()
    life = Life(engine, tmp_path)
    life.want(task(1, cpu_cores=2.0))
    looker = Looker(Looked(gpus=machine(), host=machine(), engine=engine, slots=life.reconciler.slots))
    first = looker.look(0.0)
    engine.cpu_seconds = 15.0
    second = looker.look(15.0)
    assert (first.number, second.number, second.driver_error) == (1, 2, "")
    (seen,) = second.tasks
    assert (seen.task_id, seen.gpu_uuids, seen.cpu_percent, seen.ram_used_mb) == (1, ["GPU-1"], 50.0, 100)
    assert first.tasks[0].cpu_percent is None
    engine.down = True
    assert looker.look(30.0).tasks[0].ram_used_mb is None


def test_a_driver_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = machine()

    def fails(_busy: object) -> list[GpuReading]:
        raise InventoryError("The NVIDIA driver does not answer properly.")

    monkeypatch.setattr(broken, "readings", fails)
    life = Life(FakeEngine(), tmp_path)
    looker = Looker(Looked(gpus=broken, host=machine(), engine=life.engine, slots=life.reconciler.slots))
    seen = looker.look(0.0)
    assert (seen.gpus, seen.driver_error) == ([], "The NVIDIA driver does not answer properly.")


class Server:
    """Takes what it is sent, unless it is away."""

    def __init__(self) -> None:
        self.requests: list[TelemetryRequest] = []
        self.error: Exception | None = None

    def __call__(self, request: TelemetryRequest) -> TelemetryReply:
        if self.error is not None:
            raise self.error
        self.requests.append(decode(TelemetryRequest, encode(request)))
        return TelemetryReply(received=request.windows[-1].number if request.windows else -1)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def measured(tmp_path: Path, server: Server) -> tuple[MachineTelemetry, Callable[[float], None]]:
    """A machine, and how to let time pass with a look and a word every 15 seconds."""
    life = Life(FakeEngine(), tmp_path)
    looked = Looked(gpus=machine(), host=machine(), engine=life.engine, slots=life.reconciler.slots)
    moment = [0.0]
    telemetry = MachineTelemetry(Looker(looked), server, clock=lambda: moment[0])

    def pass_time(seconds: float) -> None:
        until = moment[0] + seconds
        while moment[0] < until:
            telemetry.look()
            telemetry.tell()
            moment[0] += LOOK_SECONDS

    return telemetry, pass_time


def test_the_server_hears_every_look_and_each_minute_until_it_has_it(
    server: Server, measured: tuple[MachineTelemetry, Callable[[float], None]]
) -> None:
    _, pass_time = measured
    pass_time(135)
    assert [request.live.number for request in server.requests if request.live] == list(range(1, 10))
    assert [window.number for request in server.requests for window in request.windows] == [0, 1]


def test_what_a_server_that_is_away_missed_is_told_when_it_is_back(
    server: Server, measured: tuple[MachineTelemetry, Callable[[float], None]]
) -> None:
    _, pass_time = measured
    server.error = ServerAwayError("no connection")
    pass_time(1800)
    server.error = None
    pass_time(300)
    told = [window.number for request in server.requests for window in request.windows]
    assert told == list(range(len(told)))
    assert len(told) >= 33


def test_windows_that_the_server_can_not_read_are_given_up(
    server: Server, measured: tuple[MachineTelemetry, Callable[[float], None]]
) -> None:
    _, pass_time = measured
    server.error = RefusedError(400, "invalid_message", "It does not fit.")
    pass_time(600)
    server.error = None
    pass_time(180)
    told = [window.number for request in server.requests for window in request.windows]
    assert told
    assert 0 not in told


def test_one_machine_that_can_not_be_measured_holds_up_no_other(
    measured: tuple[MachineTelemetry, Callable[[float], None]], server: Server
) -> None:
    good, _ = measured
    bad = MachineTelemetry(Looker.__new__(Looker), server)
    pool: Pool = ManualPool()
    rounds = TelemetryRounds(pool)
    rounds.watch(bad)
    rounds.watch(good)
    rounds.round()
    assert isinstance(pool, ManualPool)
    pool.run()
    assert len(server.requests) == 1
    rounds.unwatch(good)
    rounds.unwatch(bad)
    rounds.round()
    assert pool.jobs == []
