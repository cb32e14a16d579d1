"""Who shows a credential or a token that this site does not know: so many a minute, and so many at a time.

Whoever shows a right one is let in however many wrong ones come from the same network, because several agents may share
its address. What they share is the turn in which a process looks at a credential it has not seen; then it is known to
that process, and has nothing to do with the rest.
"""

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NoReturn, TypeVar

from django.http import HttpRequest

from hosting.api.lanes import Lane
from hosting.domain.addresses import network_of
from hosting.domain.secrets import secret_hash
from hosting.errors import HostingError
from hosting.gateways.wrong_credentials import wrong_credential_count
from hosting.request_address import remote_address
from hosting.selectors import machine_by_credential

T = TypeVar("T")
WRONG = frozenset({"credential_revoked", "bad_token"})
UNSEEN = Lane(abreast=2, waiting=1000)
"""By network, for credentials that this process has not seen: one query each."""
MOST_KNOWN = 20_000


class _Known:
    """Digests of credentials that were right when this process last looked, the latest ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digests: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, digest: str) -> bool:
        with self._lock:
            if digest not in self._digests:
                return False
            self._digests.move_to_end(digest)
            return True

    def add(self, digest: str) -> None:
        with self._lock:
            self._digests[digest] = None
            if len(self._digests) > MOST_KNOWN:
                self._digests.popitem(last=False)

    def drop(self, digest: str) -> None:
        with self._lock:
            self._digests.pop(digest, None)


KNOWN = _Known()


def credential_in(request: HttpRequest) -> str:
    """What the agent shows for who it is."""
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


async def introduced(request: HttpRequest) -> str:
    """The credential of the request, which was a machine's when this process last looked.

    Raises HostingError: credential_revoked (401), too_many_requests (429) after too many wrong ones.
    """
    credential = credential_in(request)
    if secret_hash(credential) not in KNOWN:
        network = network_of(remote_address(request))
        await UNSEEN.run(network, functools.partial(_look, credential, network))
    return credential


def _look(credential: str, network: str) -> None:
    if machine_by_credential(credential) is None:
        counting(network, credential_unknown, credential)
    KNOWN.add(secret_hash(credential))


def credential_unknown(credential: str) -> NoReturn:
    """Raises HostingError: credential_revoked (401)."""
    KNOWN.drop(secret_hash(credential))
    raise HostingError("credential_revoked", "This machine's credential is not valid (any more).", status=401)


def counting(network: str, work: Callable[..., T], *arguments: object) -> T:
    """Do work that may find something wrong, and count that.

    Raises what ``work`` raises, and HostingError: too_many_requests (429) in place of what was wrong too often.
    """
    try:
        return work(*arguments)
    except HostingError as error:
        wait_seconds = wrong_credential_count(network) if error.code in WRONG else 0
        if not wait_seconds:
            raise
        text = "Too many credentials or tokens from your network that are not valid. Try again later."
        raise HostingError("too_many_requests", text, status=429, retry_after_seconds=wait_seconds) from error
