"""The endpoints agents talk to. Agents only dial out; what they should do comes back in the reply of a sync."""

import functools
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from agent.protocol import ErrorReply, Message, SyncRequest, decode, encode
from agent.register_protocol import CheckReply, CheckRequest, RegisterReply, RegisterRequest, TokenChange, TokenChanged
from hosting.agent_releases import UNSUPPORTED, newest_release, require_protocol
from hosting.api.lanes import Lane, in_pool
from hosting.api.sizes import MOST_MESSAGE_BYTES, MOST_OPEN_BYTES
from hosting.api.strangers import counting, credential_unknown, introduced
from hosting.domain import requirements
from hosting.domain.addresses import network_of
from hosting.errors import HostingError
from hosting.gateways.wakeup import Listener
from hosting.models import Machine
from hosting.request_address import remote_address
from hosting.selectors import desired_generation, desired_state, is_cleared, machine_by_credential, sync_url
from hosting.services.install_tokens import install_token_change
from hosting.services.registration import machine_register
from hosting.services.reports import report_receive

REPORTS = Lane(abreast=2, waiting=0)
"""By credential: an agent sends its held request and one with news. Who sends more waits for its own machine's row."""
REPLIES = Lane(abreast=1, waiting=1_000_000)
"""By credential. Nobody is refused what its report has earned."""
BESIDES = Lane(abreast=1, waiting=16)
"""By credential, for measurements, output and logs."""
OPEN = Lane(abreast=2, waiting=32)
"""By network, for who has no credential."""

MACHINE_REMOVED = (
    "Its host removed this machine from the marketplace, and nothing of it is left here. To join again, take a new "
    "token from Host / Setup."
)


def reply_with(message: Message, status: int = 200) -> HttpResponse:
    return HttpResponse(encode(message), content_type="application/json", status=status)


def refusal_of(error: HostingError) -> HttpResponse:
    """What the agent is told, and for how long it should leave us alone, where that is known."""
    release = newest_release() if error.code == UNSUPPORTED else None
    answer = reply_with(ErrorReply(error=error.code, msg=error.message, agent=release), error.status)
    if error.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def _refusal(code: str, text: str, status: int) -> HttpResponse:
    return reply_with(ErrorReply(error=code, msg=text), status)


AsyncView = Callable[..., Coroutine[Any, Any, HttpResponse]]


def refuses_clearly(view: AsyncView) -> AsyncView:
    """Turn known refusals into ErrorReply."""

    @functools.wraps(view)
    async def wrapped(request: HttpRequest, **captured: Any) -> HttpResponse:
        try:
            return await view(request, **captured)
        except HostingError as error:
            return refusal_of(error)
        except msgspec.ValidationError as error:
            return _refusal("invalid_message", f"The message does not fit the protocol: {error}", 400)
        except RecursionError:
            return _refusal("invalid_json", "The body is nested too deeply.", 400)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _refusal("invalid_json", f"The body is not JSON: {error}", 400)

    return wrapped


@csrf_exempt
@require_POST
@refuses_clearly
async def register(request: HttpRequest) -> HttpResponse:
    """Exchange an install token for a machine and its credential."""
    address = remote_address(request)
    return await _with_token(request, functools.partial(_register, body_of(request, MOST_OPEN_BYTES), address))


@csrf_exempt
@require_POST
@refuses_clearly
async def sync(request: HttpRequest) -> HttpResponse:
    """Take in a report and answer with the desired state, at once when it changed, else when it does."""
    body = body_of(request)
    credential = await introduced(request)
    handle = functools.partial(_handle, credential, body, remote_address(request))
    machine_id, message = await REPORTS.run(credential, handle)
    hold_seconds = min(message.hold_seconds, settings.SYNC_HOLD_MAX_SECONDS)
    if hold_seconds > 0:
        await _hold(machine_id, message.known_generation, hold_seconds)
    return reply_with(await REPLIES.run(credential, functools.partial(desired_state, machine_id)))


@csrf_exempt
@require_POST
@refuses_clearly
async def check(request: HttpRequest) -> HttpResponse:
    """Say what a machine lacks to be verified, registered or not. Costs a little arithmetic, and keeps nothing."""
    look = functools.partial(_check, body_of(request, MOST_OPEN_BYTES))
    return reply_with(await OPEN.run(network_of(remote_address(request)), look))


@csrf_exempt
@require_POST
@refuses_clearly
async def token(request: HttpRequest) -> HttpResponse:
    """Give an install token another secret than the one that stands on a command line."""
    return await _with_token(request, functools.partial(_change_token, body_of(request, MOST_OPEN_BYTES)))


async def _with_token(request: HttpRequest, work: Callable[[], Message]) -> HttpResponse:
    """Do something for who shows a token: wrong ones are counted."""
    network = network_of(remote_address(request))
    return reply_with(await OPEN.run(network, functools.partial(counting, network, work)))


def body_of(request: HttpRequest, most_bytes: int = MOST_MESSAGE_BYTES) -> bytes:
    """The request's body. Raises HostingError(too_large, 413).

    Where requests are held, Django has read all of the body by now: there ``hosting.api.body_limit`` has refused it.
    """
    stated = request.headers.get("Content-Length") or "0"
    sensible = stated.isascii() and stated.isdecimal() and len(stated) <= 15
    if not sensible or int(stated) > most_bytes or len(request.body) > most_bytes:
        raise HostingError("too_large", f"At most {most_bytes} bytes may be sent here at a time.", status=413)
    return request.body


def _check_protocol(body: bytes) -> None:
    """Refuse another protocol version by name before its messages fail to parse."""
    try:
        told = json.loads(body).get("protocol")
    except (ValueError, AttributeError):
        return  # the strict decoder says what is wrong
    if isinstance(told, int):
        require_protocol(told)


def _check(body: bytes) -> CheckReply:
    _check_protocol(body)
    inventory = decode(CheckRequest, body).inventory
    facts = requirements.facts_of(inventory, inventory.gpus)
    return CheckReply(requirements=requirements.check(facts))


def _change_token(body: bytes) -> TokenChanged:
    told = decode(TokenChange, body)
    install_token_change(raw=told.token, replacement=told.replacement, now=timezone.now())
    return TokenChanged()


def _register(body: bytes, remote_address: str) -> RegisterReply:
    _check_protocol(body)
    message = decode(RegisterRequest, body)
    machine, credential = machine_register(request=message, remote_address=remote_address, now=timezone.now())
    return RegisterReply(machine_id=machine.pk, credential=credential, sync_url=sync_url())


def _handle(credential: str, body: bytes, remote_address: str) -> tuple[int, SyncRequest]:
    """The credential comes first: parsing costs time, which only machines of ours may take."""
    machine = machine_of(credential)
    _check_protocol(body)
    message = decode(SyncRequest, body)
    report_receive(machine_id=machine.pk, request=message, remote_address=remote_address, now=timezone.now())
    return machine.pk, message


def machine_of(credential: str) -> Machine:
    """The machine that has this credential, also a removed one as long as something of ours is on it.

    Raises HostingError: credential_revoked, machine_removed (401).
    """
    machine = machine_by_credential(credential)
    if machine is None:
        credential_unknown(credential)
    if machine.removed_at is not None and is_cleared(machine):
        raise HostingError("machine_removed", MACHINE_REMOVED, status=401)
    return machine


async def _hold(machine_id: int, known_generation: int, hold_seconds: float) -> None:
    """Return when the machine's desired state is of another generation, when a newer request of the machine is held,
    or when the time is over.

    An idle machine's request costs one small query here: there are many of them, at all times.
    """
    deadline = time.monotonic() + hold_seconds
    async with Listener(machine_id) as listener:
        while not listener.superseded:
            if await in_pool(functools.partial(desired_generation, machine_id)) != known_generation:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                return
            await listener.wait(left)
