"""Where agents send what does not fit into a sync: output of jobs, and logs of containers that are gone."""

import functools
from collections.abc import Callable
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from agent.job_protocol import MOST_OUTPUT_CHUNK_BYTES
from agent.protocol import MOST_KEPT_LOG_BYTES, OutputReply
from hosting.api.agent import credential_in, in_pool, machine_of, refuses_clearly, reply_with
from hosting.errors import HostingError
from hosting.services.job_output import log_keep, output_take

T = TypeVar("T")

MOST_OFFSET = 2**50
_ZLIB_SLACK_BYTES = 1024
"""What does not compress grows a little."""


@csrf_exempt
@require_POST
@refuses_clearly
async def output(request: HttpRequest, job_id: int) -> HttpResponse:
    """Add the body to the output of an open job of the machine that calls."""
    content = _bytes(request, MOST_OUTPUT_CHUNK_BYTES)
    start = request.GET.get("offset", "")
    if not start.isascii() or not start.isdecimal() or len(start) > 15 or int(start) > MOST_OFFSET:
        raise HostingError("bad_offset", "offset must be the number of bytes before these.")
    take = functools.partial(_take_output, credential_in(request), job_id, int(start), content)
    return reply_with(await _database_work(take))


@csrf_exempt
@require_POST
@refuses_clearly
async def log(request: HttpRequest, task_id: int) -> HttpResponse:
    """Keep the log of a container that is gone."""
    content = _bytes(request, MOST_KEPT_LOG_BYTES + _ZLIB_SLACK_BYTES)
    take = functools.partial(_take_log, credential_in(request), task_id, request.GET.get("container", ""), content)
    return reply_with(await _database_work(take))


def _take_output(credential: str, job_id: int, start: int, content: bytes) -> OutputReply:
    machine = machine_of(credential)
    return output_take(machine=machine, job_id=job_id, start=start, content=content, now=timezone.now())


def _take_log(credential: str, task_id: int, container: str, content: bytes) -> OutputReply:
    machine = machine_of(credential)
    log_keep(machine=machine, task_id=task_id, container=container, content=content, now=timezone.now())
    return OutputReply(received_bytes=len(content), wanted=False)


def _bytes(request: HttpRequest, most_bytes: int) -> bytes:
    """The body. Raises HostingError(too_large, 413), where a length is stated before anything is read."""
    stated = request.headers.get("Content-Length") or "0"
    sensible = stated.isascii() and stated.isdecimal() and len(stated) <= 15
    if not sensible or int(stated) > most_bytes or len(request.body) > most_bytes:
        raise HostingError("too_large", f"At most {most_bytes} bytes at a time.", status=413)
    return request.body


async def _database_work(work: Callable[[], T]) -> T:
    """As for syncs: on the few threads with lasting connections where requests are held."""
    if settings.SYNC_HOLD_MAX_SECONDS <= 0:
        return await sync_to_async(work)()
    return await in_pool(work)
