"""Refuses bodies that are too long before Django reads them: it would write them to disk whole, from anybody."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from agent.protocol import ErrorReply, encode
from hosting.api.sizes import is_filler, most_body_bytes

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]


class BodyTooLongError(Exception):
    """More came than was allowed."""


def body_limited(application: Application) -> Application:
    """The application, which gets no more of a body than hosting.api.sizes allows."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        most_bytes = most_body_bytes(scope["path"])
        if _stated_bytes(scope) > most_bytes:
            await _refuse(send, most_bytes)
            return
        try:
            await application(scope, _counted(receive, most_bytes, keep=not is_filler(scope["path"])), send)
        except BodyTooLongError:
            await _refuse(send, most_bytes)

    return limited


def _stated_bytes(scope: Scope) -> int:
    """0 where the length is not told beforehand: then it is counted."""
    stated = dict(scope["headers"]).get(b"content-length", b"0")
    return int(stated) if stated.isdigit() and len(stated) <= 15 else 0


def _counted(receive: Receive, most_bytes: int, *, keep: bool) -> Receive:
    left = most_bytes

    async def counted() -> Mapping[str, Any]:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise BodyTooLongError
        return message if keep or "body" not in message else {**message, "body": b""}

    return counted


async def _refuse(send: Send, most_bytes: int) -> None:
    body = encode(ErrorReply(error="too_large", msg=f"At most {most_bytes} bytes may be sent here at a time."))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # the rest of the body would be taken for the next request
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
