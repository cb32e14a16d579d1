"""What agents report of measurements: that they run, how they end, and what they found."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from dlperf import EXIT_UNSUPPORTED
from dlperf.catalogue import best_scores, learned_model
from dlperf.challenge.command import EXIT_FAILED
from dlperf.domain.history import RUNS_COMPARED, Comparison, compare
from dlperf.domain.possible import AGREE_WITHIN, HOSTS_THAT_AGREE, Verdict, judge
from dlperf.domain.result import BenchmarkResult
from dlperf.domain.score import FORMULA_VERSION, Scores, is_comparable
from hosting.domain import measuring as rules
from hosting.domain.benchmarks import Order, Rating, as_estimates, rate, read_result, scores_to_keep
from hosting.domain.challenge_talk import BAD_PROGRAM, WRONG_IMAGE
from hosting.domain.torch_builds import NO_BUILD
from hosting.expectations import expected_performance, scores_elsewhere
from hosting.models import Machine, Measurement, Task
from hosting.selectors import specified_hardware
from hosting.services.events import machine_event
from hosting.services.measuring import measurement_fail, measurement_transition, measurement_try_again, task_end

LAST_OF_ITS_OWN = 127
"""Of exit statuses; those above are of who was killed."""
UNSUPPORTED_GPU = "unsupported_gpu"
PROBLEM_BAD_RESULT = "bad_result"


def measurement_task_observed(*, task: Task, now: datetime) -> None:
    """Bring a measurement to what its task is observed to be. The machine's row is locked.

    Whatever is told of a task that is not its measurement's present one comes too late and changes nothing.
    """
    if task.kind not in JUDGES or task.observed_run_generation != task.run_generation:
        return
    measurement = Measurement.objects.filter(task=task, state=rules.RUNNING).first()
    if measurement is None:
        return
    measurement.task, measurement.machine = task, task.machine
    if task.observed_phase in ("running", "exited") and measurement.running_since is None:
        measurement.running_since = task.observed_since
        measurement.save(update_fields=["running_since"])
    if task.observed_phase == "failed" or task.reason == "engine_down":
        measurement_try_again(
            measurement=measurement, problem=task.reason, message=task.message or "It could not be started.", now=now
        )
    elif task.observed_phase == "exited":
        _ended(measurement, task, now)


def _ended(measurement: Measurement, task: Task, now: datetime) -> None:
    """The agent reads the result after it has noticed the end, so it may come with a later report than that."""
    if task.exit_code != 0:
        problem, message = _why_it_ended(measurement, task)
        measurement_fail(measurement=measurement, problem=problem, message=message, now=now)
    elif task.result is not None or measurement.kind == Measurement.Kind.CHALLENGE:
        JUDGES[measurement.kind](measurement, task.result or "", now)


def _why_it_ended(measurement: Measurement, task: Task) -> tuple[str, str]:
    """A challenge is not failed by a program that can't use the GPUs, is of another version, or isn't there: that is
    the image, not the machine."""
    code = task.exit_code or 0
    if code == EXIT_UNSUPPORTED:
        return UNSUPPORTED_GPU, f"{task.message} torch in the image can't use these GPUs with this driver. {NO_BUILD}"
    if measurement.kind == Measurement.Kind.CHALLENGE and code != EXIT_FAILED and code <= LAST_OF_ITS_OWN:
        return BAD_PROGRAM, f"{WRONG_IMAGE} {task.message}".strip()
    return task.reason or "exited", f"{task.message} The program found nothing to measure, or broke off."


def _judge_benchmark(measurement: Measurement, text: str, now: datetime) -> None:
    try:
        result = read_result(text, Order(**measurement.parameters))
    except ValueError as error:
        measurement_fail(measurement=measurement, problem=PROBLEM_BAD_RESULT, message=str(error), now=now)
        return
    rating = rate(result, specified_hardware(measurement.machine), learned_model())
    _succeed(measurement, result, rating, _verdict(measurement, result, rating), now)


def _verdict(measurement: Measurement, result: BenchmarkResult, rating: Rating) -> Verdict:
    """Whether the result is believed; what shows only that everything works is not judged."""
    if measurement.simulated or not is_comparable(result):
        return Verdict()
    machine = measurement.machine
    return judge(result, rating.value, expected_performance(machine), lambda: scores_elsewhere(machine))


def _nobody_asked(measurement: Measurement, _text: str, now: datetime) -> None:
    """The program of a challenge ends by itself only when it has been asked nothing for long; while it is spoken with,
    its container is removed once it has shown all (see ``hosting.services.challenge_talks``)."""
    message = "The program ended because nobody asked it anything."
    measurement_fail(measurement=measurement, problem="not_asked", message=message, now=now)


JUDGES: dict[str, Callable[[Measurement, str, datetime], None]] = {
    Measurement.Kind.BENCHMARK: _judge_benchmark,
    Measurement.Kind.CHALLENGE: _nobody_asked,
}
"""By kind: brings the measurement to its end by the text that its container printed. Nothing in it can be trusted."""


def _succeed(
    measurement: Measurement, result: BenchmarkResult, rating: Rating, verdict: Verdict, now: datetime
) -> None:
    comparison = None
    if rating.is_measured and rating.value is not None and not verdict.doubt:
        comparison = compare(rating.value, earlier_scores(measurement))
    task_end(measurement, now)
    measurement_transition(
        measurement=measurement,
        to=rules.SUCCEEDED,
        now=now,
        message=f"{_summary(measurement, result, rating)}{_judgement(verdict)}",
        result=msgspec.to_builtins(result),
        score=rating.value,
        formula_version=FORMULA_VERSION,
        is_cpu=result.device == "cpu",
        is_implausible=bool(verdict.doubt),
        **_compared(comparison),
    )
    if comparison is not None and comparison.is_drop:
        _tell_drop(measurement, comparison, now)
    if verdict.doubt:
        _tell(measurement, "benchmark_implausible", verdict.doubt, now)
    elif rating.scores is not None and not measurement.simulated:
        known = rating.scores if verdict.is_believed else as_estimates(rating.scores, best_scores())
        _take_scores(measurement.machine, known)


def _summary(measurement: Measurement, result: BenchmarkResult, rating: Rating) -> str:
    score = "No DLPerf" if rating.value is None else f"DLPerf {rating.value:g} per GPU"
    return f"{score}{_remark(measurement, result, rating)}."


def _remark(measurement: Measurement, result: BenchmarkResult, rating: Rating) -> str:
    if measurement.simulated:
        return ", of a short run on the CPU: the GPUs are simulated"
    return "" if rating.value is not None else f": {_what_is_missing(result)}"


def _what_is_missing(result: BenchmarkResult) -> str:
    """Of the first GPU without any figure, why."""
    bare = next((device for device in result.devices if not device.metrics), None)
    if bare is None:
        return "there is nothing to reckon it from"
    reason = next(iter(bare.skipped.values()), "nobody knows why")
    return f"nothing could be measured on GPU {bare.index} ({reason.removesuffix('.')})"


def _judgement(verdict: Verdict) -> str:
    if verdict.doubt:
        return f" It is not believed, and offers don't show it: {verdict.doubt}"
    if verdict.is_unproven:
        return (
            " Nothing is known of this model yet: offers show it as an estimate, and no more than the best GPU that is "
            f"known has, until machines of {HOSTS_THAT_AGREE} other hosts come to the same within {AGREE_WITHIN:.0%}."
        )
    return ""


def earlier_scores(measurement: Measurement) -> list[float]:
    """Scores of the latest runs of the same kind on the same GPUs of the machine by the same formula, oldest first."""
    alike = Measurement.objects.filter(
        machine=measurement.machine,
        kind=measurement.kind,
        state=rules.SUCCEEDED,
        gpu_name=measurement.gpu_name,
        gpu_count=measurement.gpu_count,
        simulated=measurement.simulated,
        formula_version=FORMULA_VERSION,
        score__isnull=False,
        is_implausible=False,
    ).exclude(pk=measurement.pk)
    latest = alike.order_by("-finished_at", "-pk").values_list("score", flat=True)[:RUNS_COMPARED]
    return [score for score in reversed(latest) if score is not None]


def _compared(comparison: Comparison | None) -> dict[str, Any]:
    if comparison is None:
        return {}
    return {"usual_score": comparison.usual, "score_change": comparison.change, "is_drop": comparison.is_drop}


def _tell_drop(measurement: Measurement, comparison: Comparison, now: datetime) -> None:
    message = (
        f"DLPerf {measurement.score:.1f} per GPU is {-comparison.change:.0%} less than this machine's usual "
        f"{comparison.usual:.1f}."
    )
    _tell(measurement, "benchmark_drop", message, now)


def _tell(measurement: Measurement, kind: str, message: str, now: datetime) -> None:
    machine_event(measurement.machine, kind, now=now, message=message, measurement=measurement.pk)


def _take_scores(machine: Machine, scores: Scores) -> None:
    """From now on the machine's offers carry what was measured on it; whoever handles the report refreshes them."""
    machine.measured_scores = scores_to_keep(scores)
    machine.save(update_fields=["measured_scores"])
