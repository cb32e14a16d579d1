"""The benchmark program, run for real on the CPU in its small mode, and its parts."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlperf import EXIT_UNSUPPORTED
from dlperf.domain.command import EXIT_FAILED, workload_command
from dlperf.domain.result import RESULT_VERSION, DeviceMetric, decode_result
from dlperf.workload import timing
from tests.dlperf.workload import require_torch, run_program, ship, speed_endpoint

NOT_ON_A_CPU = {"gemm_fp16_tflops", "gemm_tf32_tflops", "pcie_to_device_gbps", "pcie_from_device_gbps"}
WITH_NEW_CPUS_ONLY = {"lstm_train_mixed_steps_per_s"}


class Ticking:
    """A clock that stands still but for what work takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


def test_the_whole_program_alone_in_its_folder(tmp_path: Path) -> None:
    require_torch()
    with speed_endpoint() as endpoint:
        words = workload_command(mode="small", device="cpu", seconds=60, endpoint=endpoint)
        done = run_program(ship(tmp_path), words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    result = decode_result(done.stdout)
    device = result.devices[0]
    assert (result.device, result.mode, len(result.devices), result.notes) == ("cpu", "small", 1, [])
    assert set(device.skipped) - WITH_NEW_CPUS_ONLY == NOT_ON_A_CPU
    assert set(device.metrics) | set(device.skipped) == set(get_args(DeviceMetric))
    assert set(result.host) == {"cpu_gflops", "ram_bandwidth_gbps", "disk_write_mbps", "disk_read_mbps"}
    assert set(result.network) == {"upload_mbps", "download_mbps"}
    assert all(metric.samples >= 3 for metric in device.metrics.values())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (workload_command(mode="small", seconds=0), "--seconds must be more than 0."),
        (workload_command(mode="enormous"), "invalid choice: 'enormous'"),  # type: ignore[arg-type]  # rubbish on purpose
    ],
)
def test_what_can_not_be_run_is_told_on_stderr(tmp_path: Path, words: list[str], why: str) -> None:
    done = run_program(ship(tmp_path), words)
    assert (done.returncode, done.stdout) == (EXIT_FAILED, "")
    assert why in done.stderr.splitlines()[-1]


def test_gpus_that_torch_can_not_use_have_a_status_of_their_own(tmp_path: Path) -> None:
    require_torch()
    import torch  # noqa: PLC0415  # it is there for some tests only

    if torch.cuda.is_available():
        pytest.skip("There is a GPU here.")
    done = run_program(ship(tmp_path), workload_command(mode="small", device="cuda"))
    assert (done.returncode, done.stdout) == (EXIT_UNSUPPORTED, "")
    assert "torch sees no GPU" in done.stderr.splitlines()[-1]


def test_without_torch_one_sentence_says_what_is_missing(tmp_path: Path) -> None:
    (ship(tmp_path) / "torch.py").write_text("raise ImportError('No module named torch')")
    done = run_program(tmp_path, workload_command())
    assert (done.returncode, done.stdout) == (EXIT_FAILED, "")
    assert done.stderr == "The benchmark needs torch 2.3 or later: No module named torch\n"


def test_a_rate_is_counted_after_the_warm_up() -> None:
    clock = Ticking()
    durations = iter([10.0, 2.0, 2.0] + [0.5] * 1000)
    timer = timing.Timer(lambda: None, sample_seconds=4.0, clock=clock)
    rate = timer.rate(lambda: clock.work(next(durations)), items=8, seconds=40)
    # 12 seconds of warm-up end with a step of 2 seconds, so a sample is 2 steps: 2 and 0.5 seconds, then 0.5 each.
    assert set(rate.rates) == {6.4, 16.0}
    assert (rate.median, rate.spread) == (16.0, 0.6)
    assert len(rate.rates) == timing.LEAST_SAMPLES or clock.now >= 40


def test_slow_work_still_gets_its_least_samples() -> None:
    clock = Ticking()
    timer = timing.Timer(lambda: clock.work(1.0), sample_seconds=0.5, clock=clock)
    rate = timer.rate(lambda: clock.work(99.0), items=100, seconds=1)
    assert rate.rates == (1.0,) * timing.LEAST_SAMPLES
    assert clock.now == 100.0 * (1 + timing.LEAST_SAMPLES)


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=20))
def test_the_median_is_among_the_samples_and_the_spread_covers_them(rates: list[float]) -> None:
    measured = timing.Measured(tuple(rates))
    assert min(rates) <= measured.median <= max(rates)
    assert measured.spread * measured.median == pytest.approx(max(rates) - min(rates))


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=20), st.floats(1, 1000), st.floats(0, 1))
def test_measurements_that_keep_to_their_share_end_in_time(weights: list[float], seconds: float, used: float) -> None:
    clock = Ticking()
    budget = timing.Budget(seconds, clock)
    for number, weight in enumerate(weights):
        clock.work(used * budget.share(weight, sum(weights[number + 1 :])))
    assert budget.used() <= seconds * (1 + 1e-9)
    assert used < 1 or budget.left() == pytest.approx(0, abs=1e-6 * seconds)


def test_nothing_is_begun_when_the_time_is_up() -> None:
    clock = Ticking()
    budget = timing.Budget(10, clock)
    clock.work(10)
    with pytest.raises(timing.TimeUpError, match=r"The time was up\."):
        budget.share(1, 1)


def test_program_and_marketplace_speak_of_the_same_result() -> None:
    require_torch()
    from dlperf.workload import run, suite  # noqa: PLC0415  # they need torch

    assert run.RESULT_VERSION == RESULT_VERSION
    assert {benchmark.metric for benchmark in suite.FULL_SUITE} == set(get_args(DeviceMetric))
