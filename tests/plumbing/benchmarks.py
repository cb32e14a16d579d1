"""Results of benchmarks, made up, and what agents report of them."""

from datetime import datetime
from typing import Any

from agent.protocol import ObservedTask
from dlperf.domain import result as parts
from dlperf.domain.result import BenchmarkResult, encode_result
from dlperf.domain.score import REFERENCE_FP32_IMAGES_PER_S, REFERENCE_MIXED_IMAGES_PER_S
from hosting.models import Measurement, Task
from tests.plumbing.market import TestAgent

IMAGE = "example.org/dlperf:1"


def value(median: float, spread: float = 0.01) -> parts.Measurement:
    """A quantity measured five times."""
    return parts.Measurement(median=median, spread=spread, samples=5)


def result(score: float = 20.0, *, gpus: int = 4, cpu: bool = False) -> BenchmarkResult:
    """A run of RTX 3090s whose worst GPU comes to this score, and the others to a fifth more.

    Published is 24.9. More than 31 is too much for one of the others, and is not believed.
    """
    devices = [
        parts.DeviceResult(
            index=index,
            name="a CPU" if cpu else "NVIDIA GeForce RTX 3090",
            memory_mb=24_000,
            metrics={
                "resnet50_train_fp32_images_per_s": value(REFERENCE_FP32_IMAGES_PER_S * score * times / 10),
                "resnet50_train_mixed_images_per_s": value(REFERENCE_MIXED_IMAGES_PER_S * score * times / 10),
                "memory_bandwidth_gbps": value(800.0),
            },
        )
        for index, times in enumerate([1, 1.2, 1.2, 1.2][: 1 if cpu else gpus])
    ]
    return BenchmarkResult(
        version=parts.RESULT_VERSION,
        mode="small" if cpu else "full",
        device="cpu" if cpu else "cuda",
        versions=parts.Versions(workload=1, python="3.11.2", torch="2.13.0"),
        seconds=30.0,
        devices=devices,
        host={"cpu_gflops": value(400.0, 0.2)},
    )


def line(score: float = 20.0, *, gpus: int = 4, cpu: bool = False) -> str:
    """What the program prints."""
    return encode_result(result(score, gpus=gpus, cpu=cpu)).decode()


def the_task(agent: TestAgent) -> Task:
    """The latest task of the machine's latest measurement."""
    task = Measurement.objects.filter(machine=agent.machine).latest("pk").task
    assert task is not None
    return Task.objects.get(pk=task.pk)


def seen(task: Task, phase: Any, **values: Any) -> ObservedTask:
    """The task in this phase since just now."""
    return ObservedTask(
        task_id=task.pk, phase=phase, run_generation=task.run_generation, **({"age_seconds": 0.0} | values)
    )


def run_to_the_end(agent: TestAgent, now: datetime, text: str) -> Measurement:
    """The machine's benchmark runs, ends at ``now`` with this line, and its container is removed."""
    task = the_task(agent)
    agent.report(now, seen(task, "running"))
    agent.report(now, seen(task, "exited", exit_code=0, reason="exited", result=text))
    agent.obey(now)
    return Measurement.objects.filter(machine=agent.machine).latest("pk")
