"""The benchmark of a machine: what is ordered, the container that does it, and what its result is worth."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import msgspec

from agent.protocol import ContainerSpec
from dlperf.domain.command import FULL_SECONDS, SMALL_SECONDS, workload_command
from dlperf.domain.hardware import Hardware
from dlperf.domain.learned import LearnedModel
from dlperf.domain.result import MAX_RESULT_BYTES, BenchmarkResult, Mode, decode_result
from dlperf.domain.score import FORMULA_VERSION, Score, Scores, is_comparable, measured, scores_of_result
from hosting.domain.containers import Slice, container_spec

DISK_GB = 20
MOST_SPEED_BYTES = 32_000_000
"""What the program asks for, or sends, at the most in one request of those that measure a machine's line."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a machine is to run.

    A machine with simulated GPUs has none to run anything on: its run is a short one on the CPU, and shows no more than
    that everything works. On any other a run without GPUs is a failure, not a slow result.
    """

    mode: Mode
    device: str
    seconds: int
    gpus: int
    endpoint: str = ""

    @property
    def on_cpu(self) -> bool:
        """Whether no GPU takes part."""
        return self.device == "cpu"


def order_for(*, simulated: bool, gpus: int, endpoint: str) -> Order:
    """What a machine of that kind is to run."""
    if simulated:
        return Order(mode="small", device="cpu", seconds=SMALL_SECONDS, gpus=gpus, endpoint=endpoint)
    return Order(mode="full", device="cuda", seconds=FULL_SECONDS, gpus=gpus, endpoint=endpoint)


def benchmark_spec(order: Order, *, image: str, label: str, cpu_cores: int, ram_mb: int) -> ContainerSpec:
    """The container: the whole of a machine of that size, and no network unless it measures that."""
    program, *args = workload_command(
        mode=order.mode, device="cpu" if order.on_cpu else "cuda", seconds=order.seconds, endpoint=order.endpoint
    )
    return container_spec(
        part=Slice(gpus=order.gpus, gpu_count=order.gpus, cpu_cores=cpu_cores, ram_mb=ram_mb),
        hostname=label,
        image=image,
        mode="args",
        args=args,
        entrypoint=program,
        env={"VAST_CONTAINERLABEL": label, "GPU_COUNT": str(order.gpus)},
        onstart="",
        disk_gb=DISK_GB,
        ports=[],
        network="guests" if order.endpoint else "none",
        result_bytes=MAX_RESULT_BYTES,
    )


def read_result(text: str, order: Order) -> BenchmarkResult:
    """The result in what the program printed. Raises ValueError, in words for the host, for anything not ordered."""
    if not text:
        raise ValueError("The program printed no result.")
    result = decode_result(text)
    if (result.mode, result.device) != (order.mode, order.device):
        raise ValueError(
            f"The result is that of a {result.mode} run on {result.device}; a {order.mode} one on {order.device} "
            "was ordered."
        )
    if not order.on_cpu and len(result.devices) != order.gpus:
        raise ValueError(f"The result is about {len(result.devices)} GPUs; the machine has {order.gpus}.")
    return result


@dataclass(frozen=True, kw_only=True)
class Rating:
    """What a result is worth: DLPerf of the machine's worst GPU, None where nothing is known of one of them.

    ``scores`` are those in every precision, None also where the result can't stand beside others: a short run, or one
    without a GPU, shows that everything works, and its figures change with whatever else the computer does.
    """

    value: float | None
    scores: Scores | None = None

    @property
    def is_measured(self) -> bool:
        """Whether all that DLPerf is made of was measured, on GPUs and in full."""
        return self.scores is not None and not self.scores.balanced.is_estimate


def rate(result: BenchmarkResult, hardware: Hardware, model: LearnedModel) -> Rating:
    """The result's worth; ``hardware`` is what the specifications of the machine's GPUs say."""
    if is_comparable(result):
        scores = scores_of_result(result, hardware, model)
        return Rating(value=scores.balanced.value if scores else None, scores=scores)
    fp32 = result.value("resnet50_train_fp32_images_per_s")
    mixed = result.value("resnet50_train_mixed_images_per_s")
    return Rating(value=measured(fp32, mixed).value if fp32 and mixed else None)


def as_estimates(scores: Scores, most: Scores) -> Scores:
    """The same, but no greater than ``most``, and said to be no more than estimates."""
    return Scores(
        **{
            each.name: Score(min(getattr(scores, each.name).value, getattr(most, each.name).value), is_estimate=True)
            for each in fields(Scores)
        }
    )


def scores_to_keep(scores: Scores) -> dict[str, Any]:
    """The scores as JSON values, with the version of their formula."""
    return {"formula": FORMULA_VERSION, "scores": asdict(scores)}


def kept_scores(kept: Mapping[str, Any] | None) -> Scores | None:
    """What ``scores_to_keep`` made; None for nothing and for scores by another formula, which compare with none."""
    if kept is None or kept["formula"] != FORMULA_VERSION:
        return None
    return msgspec.convert(kept["scores"], Scores)
