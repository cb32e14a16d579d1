"""Where agents fetch the guest tools."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_GET

from agent.protocol import ErrorReply, encode
from hosting.api.agent import machine_of, refusal_of
from hosting.api.strangers import introduced
from hosting.errors import HostingError
from hosting.gateways.guest_tools import Bundle, bundle_of

_CHUNK_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=([0-9]{1,12})-")


@require_GET
async def tools(request: HttpRequest, digest: str) -> HttpResponseBase:
    """A bundle, for machines of ours, from the byte on that a Range names."""
    try:
        await sync_to_async(machine_of)(await introduced(request))
    except HostingError as error:
        return refusal_of(error)
    bundle = await sync_to_async(bundle_of)(digest)
    if bundle is None:
        return _refusal("no_such_tools", "These guest tools are not there (any more). The next sync names others.", 404)
    return _content(bundle, _first_byte(request, bundle))


def _first_byte(request: HttpRequest, bundle: Bundle) -> int:
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    first = int(asked[1]) if asked else 0
    return first if first < bundle.size_bytes else 0


def _content(bundle: Bundle, first: int) -> HttpResponseBase:
    """Read while it is sent, by a thread where the process has an event loop."""
    is_async = settings.SYNC_HOLD_MAX_SECONDS > 0
    content = _chunks_async(bundle.path, first) if is_async else _chunks(bundle.path, first)
    response = StreamingHttpResponse(content, content_type="application/gzip", status=206 if first else 200)
    response["Content-Length"] = str(bundle.size_bytes - first)
    if first:
        response["Content-Range"] = f"bytes {first}-{bundle.size_bytes - 1}/{bundle.size_bytes}"
    return response


def _chunks(path: Path, first: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


async def _chunks_async(path: Path, first: int) -> AsyncIterator[bytes]:
    chunks = _chunks(path, first)
    read = sync_to_async(lambda: next(chunks, b""), thread_sensitive=False)
    while chunk := await read():
        yield chunk


def _refusal(code: str, text: str, status: int) -> HttpResponse:
    return HttpResponse(encode(ErrorReply(error=code, msg=text)), content_type="application/json", status=status)
