"""Where agents send measurements."""

import functools

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from agent.protocol import decode
from agent.telemetry_protocol import TelemetryReply, TelemetryRequest
from hosting.api.agent import BESIDES, body_of, machine_of, refuses_clearly, reply_with
from hosting.api.strangers import introduced
from hosting.services.telemetry import telemetry_receive


@csrf_exempt
@require_POST
@refuses_clearly
async def telemetry(request: HttpRequest) -> HttpResponse:
    """Take measurements in, and say which need not be sent again."""
    credential = await introduced(request)
    return reply_with(await BESIDES.run(credential, functools.partial(_handle, credential, body_of(request))))


def _handle(credential: str, body: bytes) -> TelemetryReply:
    machine = machine_of(credential)
    message = decode(TelemetryRequest, body)
    received = telemetry_receive(machine_id=machine.pk, request=message, now=timezone.now())
    return TelemetryReply(received=received)
