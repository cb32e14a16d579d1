"""Parts of the benchmark program that need torch: networks, sizes, what fails, several devices, the line."""

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlperf.cuda import UnsupportedGpuError
from tests.dlperf.workload import require_torch, speed_endpoint

require_torch()
import torch  # noqa: E402  # after the check

from dlperf.workload import devices, host, micro, models, network, scaling, suite, timing, training  # noqa: E402 - after the skip where torch is missing

torch.set_num_threads(1)  # threads that wait for each other are slow where tests share the cores
CPU = devices.Device("cpu", 0, "Any CPU", "", 8_000, (0, 0))


def gpu(memory_mb: int, capability: tuple[int, int] = (8, 6)) -> devices.Device:
    return devices.Device("cuda", 0, "Any GPU", "GPU-1", memory_mb, capability)


def test_the_resnet_is_the_one_that_everybody_measures() -> None:
    assert models.parameter_count(models.resnet50()) == 25_557_032


@pytest.mark.parametrize(
    ("model", "shape", "out"),
    [
        (lambda: models.resnet50(10), (2, 3, 32, 32), (2, 10)),
        (lambda: models.transformer(32, 4), (2, 8, 32), (2, 8, 32)),
        (lambda: models.Recurrent(16), (2, 8, 16), (2, 8, 16)),
    ],
)
def test_networks_keep_shapes(
    model: Callable[[], torch.nn.Module], shape: tuple[int, ...], out: tuple[int, ...]
) -> None:
    with torch.inference_mode():
        assert tuple(model()(torch.randn(shape)).shape) == out


def test_a_block_sees_no_later_token() -> None:
    models.fixed_seed()
    block = models.transformer(32, 4).eval()
    tokens = torch.randn(1, 8, 32)
    changed = tokens.clone()
    changed[:, 5:] += 1
    with torch.inference_mode():
        before, after = block(tokens), block(changed)
    assert torch.allclose(before[:, :5], after[:, :5], atol=1e-5)
    assert not torch.allclose(before[:, 5:], after[:, 5:], atol=1e-5)


def test_training_learns() -> None:
    models.fixed_seed()
    job = training.lstm_training(CPU, devices.SMALL, "fp32")
    model_losses = [float(job.step().detach()) for _ in range(30)]
    assert model_losses[-1] < model_losses[0]


@pytest.mark.parametrize(
    ("memory_mb", "fp32", "mixed"),
    [(2_000, 4, 4), (6_144, 32, 32), (11_264, 64, 128), (24_576, 128, 256), (81_920, 256, 256)],
)
def test_batches_fit_the_memory(memory_mb: int, fp32: int, mixed: int) -> None:
    sizes = devices.sizes_for(gpu(memory_mb), "full")
    assert devices.image_batch(gpu(memory_mb), sizes, "fp32") == fp32
    assert devices.image_batch(gpu(memory_mb), sizes, "mixed") == mixed
    assert 2 * sizes.copy_mb * 4 <= memory_mb


def test_a_batch_that_does_not_fit_after_all_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def attempt(*facts: object) -> training.Job:
        batch = facts[-1]
        assert isinstance(batch, int)
        tried.append(batch)
        if batch > 16:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return training.Job(lambda: None, batch)

    monkeypatch.setattr(training, "_resnet_training", attempt)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert training.resnet_training(gpu(11_264), devices.FULL_GPU, "fp32").items == 16
    assert tried == [64, 32, 16]


def test_what_fails_is_skipped_with_its_reason_and_the_rest_goes_on() -> None:
    def fails(*_: object) -> training.Job:
        raise RuntimeError("no kernel image is available\nmany more lines")

    def too_large(*_: object) -> training.Job:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    wanted = (
        suite.Benchmark("broken", 1, fails),
        suite.Benchmark("large", 1, too_large),
        suite.Benchmark("copy", 1, micro.memory_copy, 1e9),
    )
    found = suite.run_suite(CPU, devices.SMALL, wanted, timing.Budget(60), 60)
    assert found.skipped == {"broken": "no kernel image is available", "large": "The memory is too small."}
    assert set(found.metrics) == {"copy"}


def test_a_run_without_time_says_so() -> None:
    found = suite.run_suite(CPU, devices.SMALL, suite.FULL_SUITE, timing.Budget(60), 0)
    assert found.metrics == {}
    assert set(found.skipped.values()) == {"The time was up."}


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((6, 1), "int8"), ((7, 0), "int8"), ((7, 5), "bf16"), ((7, 5), "tf32"), ((6, 1), "bf16")],
)
def test_old_gpus_are_not_asked_for_what_they_lack(capability: tuple[int, int], precision: str) -> None:
    with pytest.raises(micro.UnsupportedError):
        micro.gemm(gpu(8_000, capability), devices.FULL_GPU, precision)


def test_a_gpu_that_is_wanted_and_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnsupportedGpuError, match="torch sees no GPU"):
        devices.find_devices("cuda")
    assert [device.kind for device in devices.find_devices("auto")] == ["cpu"]


def test_a_process_of_many_trains_and_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", sys.stdout)  # put back afterwards: the process keeps its own for nothing
    scaling.worker(0, str(tmp_path), [asdict(CPU)], asdict(devices.SMALL), 1)
    found = json.loads((tmp_path / "result.json").read_text())
    assert found["images_per_s"]["samples"] == timing.LEAST_SAMPLES
    assert 0 < found["efficiency"] <= 10


class Processes:
    """Processes that never end, or fail."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.processes = [self]
        self.killed = False

    def join(self, timeout: float | None = None) -> bool:
        if self.failure and timeout is not None:
            raise self.failure
        return False

    def is_alive(self) -> bool:
        return not self.killed

    def kill(self) -> None:
        self.killed = True


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (None, "took too long"),
        (
            torch.multiprocessing.ProcessRaisedException("Traceback\n\nNCCL is unhappy\n", 0, 1),
            "failed: NCCL is unhappy",
        ),
    ],
)
def test_processes_that_do_not_come_to_an_end_are_killed(failure: Exception | None, why: str) -> None:
    processes = Processes(failure)
    with pytest.raises(scaling.ScalingError, match=why):
        scaling._wait(processes, deadline=0.0)
    assert processes.killed


def test_an_endpoint_that_sends_less_is_no_measurement() -> None:
    with speed_endpoint(stingy=True) as url, pytest.raises(OSError, match="sent 999 bytes instead of 1000"):
        network.Endpoint(url).download(1_000)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://site.example/", "https://", "speed"])
def test_only_addresses_on_the_web_are_endpoints(url: str) -> None:
    with pytest.raises(ValueError, match="http or https"):
        network.Endpoint(url)


@dataclass
class Line:
    """A line of so many bytes a second, shared by its streams, and the clock beside it."""

    bytes_per_s: float
    sent: list[int] = field(default_factory=list)

    def transfer(self, size: int) -> None:
        self.sent.append(size)

    def clock(self) -> float:
        return sum(self.sent) / self.bytes_per_s


@pytest.mark.parametrize(
    ("bytes_per_s", "size"),
    [(1e4, 65_536), (4e6, 2_000_000), (1e12, network.MOST_BYTES)],
    ids=["slow", "usual", "fast"],
)
def test_the_line_is_measured_with_as_much_as_it_carries_in_a_while(bytes_per_s: float, size: int) -> None:
    line = Line(bytes_per_s)
    rate = network.line_rate(line.transfer, 65_536, clock=line.clock)
    assert rate.rates == pytest.approx((8 * bytes_per_s,) * timing.LEAST_SAMPLES)
    rounds = [line.sent[first : first + network.STREAMS] for first in range(0, len(line.sent), network.STREAMS)]
    assert rounds == [[65_536] * network.STREAMS] + [[size] * network.STREAMS] * timing.LEAST_SAMPLES


@pytest.mark.parametrize("step_seconds", [0.001, 1.0])
def test_a_disk_is_measured_within_its_time_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_seconds: float
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    instants = (number * step_seconds for number in itertools.count())
    used: list[float] = []

    def clock() -> float:
        used.append(next(instants))
        return used[-1]

    written, read = host.disk_rates(devices.SMALL, clock=clock)
    assert len(written.rates) == len(read.rates) == host.DISK_REPEATS
    assert min(written.rates + read.rates) > 0
    assert used[-1] < 3 * host.DISK_REPEATS * (host.MOST_WRITING_SECONDS + 3 * step_seconds)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_still_gets_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    ticks = itertools.count()
    written, read = host.disk_rates(devices.SMALL, clock=lambda: float(next(ticks)))
    # One block: the clock is looked at before it and once the disk has it, then before and after reading.
    assert written.rates == (float(host.BLOCK_BYTES),) * host.DISK_REPEATS
    assert read.rates == (float(host.BLOCK_BYTES),) * host.DISK_REPEATS
