"""Benchmarks of a host's machines: asked for, and how they went."""

from typing import Any

import msgspec
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from billing.web.requests import AccountRequest
from dlperf.domain.result import BenchmarkResult
from hosting import selectors
from hosting.access import machine_for
from hosting.domain import measuring as rules
from hosting.models import Machine, Measurement
from hosting.services.measuring import benchmark_ask
from hosting.web.benchmark_words import groups

RUNS_SHOWN = 100


def benchmark_context(machine: Machine) -> dict[str, Any]:
    """What the machine's page tells of its benchmarks."""
    runs = list(selectors.benchmarks_of(machine)[:RUNS_SHOWN])
    done = [run for run in runs if run.state == rules.SUCCEEDED]
    latest = done[0] if done else None
    return {
        "can_benchmark": bool(selectors.dlperf_image(machine)),
        "runs": runs,
        "open_run": next((run for run in runs if run.state in rules.OPEN), None),
        "latest_run": latest,
        "score_chart": score_chart(done, latest) if latest else None,
    }


def score_chart(done: list[Measurement], latest: Measurement) -> dict[str, list[Any]]:
    """What the chart draws: when each run on the present GPUs ended, in seconds since 1970, and its score."""
    believed = [run for run in reversed(done) if not run.is_implausible and run.finished_at is not None]
    alike = [run for run in believed if _alike(run, latest)]
    return {
        "instants": [int(run.finished_at.timestamp()) for run in alike if run.finished_at is not None],
        "scores": [run.score for run in alike],
    }


def _alike(run: Measurement, latest: Measurement) -> bool:
    """Whether their scores can be compared."""
    return all(
        getattr(run, name) == getattr(latest, name)
        for name in ("gpu_name", "gpu_count", "simulated", "formula_version")
    )


@login_required
@require_POST
def ask(request: AccountRequest, machine_id: int) -> HttpResponse:
    """Run the benchmark now, or as soon as nobody uses the machine."""
    measurement = benchmark_ask(machine_id=machine_id, host=request.user, now=timezone.now())
    if measurement.state == rules.RUNNING:
        messages.success(
            request, "The benchmark begins. It takes some minutes, and leaves at once when somebody rents."
        )
    else:
        messages.success(request, "The benchmark begins by itself as soon as the machine is online and nobody uses it.")
    return redirect("host_machine", machine_id)


@login_required
@require_GET
def run(request: AccountRequest, machine_id: int, run_id: int) -> HttpResponse:
    """One run: every quantity with its spread, and what it ran on."""
    machine = machine_for(request.user, machine_id)
    found = selectors.benchmarks_of(machine).filter(pk=run_id).first()
    if found is None:
        raise Http404
    result = msgspec.convert(found.result, BenchmarkResult) if found.result else None
    context = {"machine": machine, "run": found, "result": result, "groups": groups(result) if result else []}
    return render(request, "hosting/benchmark.html", context)
