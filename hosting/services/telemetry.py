"""Takes in what agents measure."""

import itertools
from datetime import datetime, timedelta

import redis
import structlog
from django.db import transaction

from agent.telemetry_protocol import MOST_WINDOWS, TelemetryRequest, Window
from hosting.domain import telemetry as rules
from hosting.domain.plausible import MOST_TASKS, plausible_live
from hosting.errors import HostingError
from hosting.gateways import live_figures
from hosting.locks import lock_telemetry_receipt
from hosting.models import Gpu, Task, TelemetryReceipt, TelemetryWindow
from hosting.services.gpu_health import gpu_health_follow

logger = structlog.get_logger(__name__)

SESSIONS_KEPT = 8


def telemetry_receive(*, machine_id: int, request: TelemetryRequest, now: datetime) -> int:
    """Keep what is new and judge the GPUs by it; returns the number up to which the session's windows are here.

    Without Redis pages show nothing live, and everything else goes on. Raises HostingError(too_many_windows).
    """
    if len(request.windows) > MOST_WINDOWS:
        raise HostingError("too_many_windows", f"A request has at most {MOST_WINDOWS} windows.", status=422)
    live = plausible_live(request.live) if request.live is not None else None
    if live is not None and _is_news(machine_id, live_figures.Told(request.session_id, now, live)):
        gpu_health_follow(machine_id=machine_id, live=live, now=now)
    if not request.windows:
        return -1
    return windows_take(machine_id=machine_id, session_id=request.session_id, windows=request.windows, now=now)


def _is_news(machine_id: int, told: live_figures.Told) -> bool:
    try:
        return live_figures.keep(machine_id, told)
    except redis.RedisError as error:
        logger.warning("live_figures_unavailable", machine_id=machine_id, error=str(error))
        return True


@transaction.atomic
def windows_take(*, machine_id: int, session_id: str, windows: list[Window], now: datetime) -> int:
    """Store the windows that are not here yet, each once, however often and late it comes.

    What is more than a machine can have to tell in an hour counts as received and is dropped.
    """
    receipt = lock_telemetry_receipt(machine_id)
    numbers: dict[str, int] = dict(receipt.sessions)
    before = numbers.pop(session_id, -1)
    fresh = [window for window in windows if window.number > before]
    if not fresh:
        return before
    TelemetryWindow.objects.bulk_create(_rows(machine_id, _within_quota(receipt, fresh, now), now))
    received = max(window.number for window in fresh)
    numbers[session_id] = received
    receipt.sessions = list(numbers.items())[-SESSIONS_KEPT:]
    receipt.save(update_fields=["sessions", "hour", "taken"])
    return received


def _within_quota(receipt: TelemetryReceipt, windows: list[Window], now: datetime) -> list[Window]:
    hour = rules.slot_start(now, timedelta(hours=1))
    if receipt.hour != hour:
        receipt.hour, receipt.taken = hour, 0
    taken = windows[: max(rules.MOST_AN_HOUR - receipt.taken, 0)]
    receipt.taken += len(taken)
    if len(taken) < len(windows):
        logger.warning("telemetry_over_quota", machine_id=receipt.machine_id, dropped=len(windows) - len(taken))
    return taken


def _rows(machine_id: int, windows: list[Window], now: datetime) -> list[TelemetryWindow]:
    gpu_ids = dict(Gpu.objects.filter(machine_id=machine_id).values_list("uuid", "pk"))
    named = {task_id for window in windows for task_id in itertools.islice(window.tasks, MOST_TASKS)}
    tasks = frozenset(Task.objects.filter(machine_id=machine_id, pk__in=named).values_list("pk", flat=True))
    rows = []
    for window in windows:
        span = rules.span_of(window, now)
        if span is None:
            continue
        content = rules.packed(rules.content_of(window, gpu_ids, tasks))
        level = rules.level_of(*span)
        rows.append(
            TelemetryWindow(machine_id=machine_id, started_at=span[0], ended_at=span[1], level=level, content=content)
        )
    return rows
