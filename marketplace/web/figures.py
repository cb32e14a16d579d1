"""How an instance is and was: the live figures and the charts on its page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from hosting.domain.telemetry import PERIODS
from hosting.telemetry import DEFAULT_PERIOD, TaskNow, task_history, tasks_now
from marketplace.access import instance_for
from marketplace.domain import instance_states as states
from marketplace.models import Instance
from marketplace.web.requests import UserRequest


@dataclass(frozen=True)
class InstanceFigures:
    """``now`` is None unless it runs and its agent measures; ``broken`` says what is wrong with GPUs that it has."""

    now: TaskNow | None
    broken: list[str]


def instance_figures(instance: Instance) -> InstanceFigures:
    """For the instance's page."""
    held = instance.task.gpu_claims.filter(released_at=None).exclude(gpu__unhealthy_reason="")
    now = tasks_now([instance.task]).get(instance.task_id) if instance.state == states.RUNNING else None
    return InstanceFigures(now, list(held.order_by("gpu__index").values_list("gpu__unhealthy_reason", flat=True)))


def history_context(instance: Instance, period: str, now: datetime) -> dict[str, Any]:
    """For the charts of the instance."""
    return {
        "charts": task_history(instance.task, period, now),
        "history_url": reverse("instance_history", args=[instance.pk]),
        "periods": list(PERIODS),
    }


@login_required
@require_GET
def history(request: UserRequest, instance_id: int) -> HttpResponse:
    """The charts alone, for another period and for polling."""
    found = instance_for(request.user, instance_id)
    context = history_context(found, request.GET.get("period", DEFAULT_PERIOD), timezone.now())
    return render(request, "ui/history.html", context)
