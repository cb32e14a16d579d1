"""What benchmarks measure a machine's line against: so many bytes out, any bytes in. Nothing is kept of either."""

import os
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from agent.protocol import ErrorReply, encode
from hosting.domain.benchmarks import MOST_SPEED_BYTES
from hosting.selectors import speed_ticket_holds

_CHUNK = os.urandom(65_536)
"""Nothing on the way can make it smaller than it is."""


@csrf_exempt
@require_http_methods(["GET", "POST"])
async def speed(request: HttpRequest, ticket: str) -> HttpResponseBase:
    """``GET ?bytes=N`` answers N bytes, ``POST`` takes any body; for who has a ticket of a running benchmark."""
    if not speed_ticket_holds(ticket):
        return _refusal(
            "no_ticket", "This address is for the benchmark that was given it, and for as long as that may run.", 403
        )
    asked = (request.headers.get("Content-Length") or "0") if request.method == "POST" else request.GET.get("bytes", "")
    if not asked.isascii() or not asked.isdecimal() or len(asked) > 15 or int(asked) > MOST_SPEED_BYTES:
        return _refusal("bad_size", f"Ask for 0 to {MOST_SPEED_BYTES} bytes at a time.", 400)
    if request.method == "POST":
        return HttpResponse(content_type="application/octet-stream")
    answer = StreamingHttpResponse(_filler(int(asked)), content_type="application/octet-stream")
    answer["Content-Length"] = asked
    return answer


async def _filler(size: int) -> AsyncIterator[bytes]:
    for sent in range(0, size, len(_CHUNK)):
        yield _CHUNK[: size - sent]


def _refusal(code: str, text: str, status: int) -> HttpResponse:
    return HttpResponse(encode(ErrorReply(error=code, msg=text)), content_type="application/json", status=status)
