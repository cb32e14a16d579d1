"""Where agents send measurements."""

import functools

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from agent.protocol import decode
from agent.telemetry_protocol import TelemetryReply, TelemetryRequest
from hosting.api.agent import body_of, credential_in, in_pool, machine_of, refuses_clearly, reply_with
from hosting.services.telemetry import telemetry_receive


@csrf_exempt
@require_POST
@refuses_clearly
async def telemetry(request: HttpRequest) -> HttpResponse:
    """Take measurements in, and say which need not be sent again."""
    handle = functools.partial(_handle, credential_in(request), body_of(request))
    if settings.SYNC_HOLD_MAX_SECONDS <= 0:
        return reply_with(await sync_to_async(handle)())
    return reply_with(await in_pool(handle))


def _handle(credential: str, body: bytes) -> TelemetryReply:
    machine = machine_of(credential)
    message = decode(TelemetryRequest, body)
    received = telemetry_receive(machine_id=machine.pk, request=message, now=timezone.now())
    return TelemetryReply(received=received)
