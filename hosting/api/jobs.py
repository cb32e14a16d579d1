"""Where agents send what does not fit into a sync: output of jobs, and logs of containers that are gone."""

import functools

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from agent.job_protocol import MOST_OUTPUT_CHUNK_BYTES
from agent.protocol import OutputReply
from hosting.api.agent import BESIDES, body_of, machine_of, refuses_clearly, reply_with
from hosting.api.sizes import MOST_LOG_BYTES
from hosting.api.strangers import introduced
from hosting.errors import HostingError
from hosting.services.job_output import log_keep, output_take

MOST_OFFSET = 2**50


@csrf_exempt
@require_POST
@refuses_clearly
async def output(request: HttpRequest, job_id: int) -> HttpResponse:
    """Add the body to the output of an open job of the machine that calls."""
    content = body_of(request, MOST_OUTPUT_CHUNK_BYTES)
    start = request.GET.get("offset", "")
    if not start.isascii() or not start.isdecimal() or len(start) > 15 or int(start) > MOST_OFFSET:
        raise HostingError("bad_offset", "offset must be the number of bytes before these.")
    credential = await introduced(request)
    take = functools.partial(_take_output, credential, job_id, int(start), content)
    return reply_with(await BESIDES.run(credential, take))


@csrf_exempt
@require_POST
@refuses_clearly
async def log(request: HttpRequest, task_id: int) -> HttpResponse:
    """Keep the log of a container that is gone."""
    content = body_of(request, MOST_LOG_BYTES)
    credential = await introduced(request)
    take = functools.partial(_take_log, credential, task_id, request.GET.get("container", ""), content)
    return reply_with(await BESIDES.run(credential, take))


def _take_output(credential: str, job_id: int, start: int, content: bytes) -> OutputReply:
    machine = machine_of(credential)
    return output_take(machine=machine, job_id=job_id, start=start, content=content, now=timezone.now())


def _take_log(credential: str, task_id: int, container: str, content: bytes) -> OutputReply:
    machine = machine_of(credential)
    log_keep(machine=machine, task_id=task_id, container=container, content=content, now=timezone.now())
    return OutputReply(received_bytes=len(content), wanted=False)
