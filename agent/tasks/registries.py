"""Which registries guests may name: those on the internet.

The engine asks a registry from the host itself, past the firewall that keeps guests from the host's own network. So an
image's name must not lead there: it would tell who answers, and fetch from whom no guest may talk to.
"""

import socket
from collections.abc import Callable
from ipaddress import ip_address

from agent.engine.references import HUB, registry_of
from agent.engine.types import TaskError

Resolve = Callable[[str], list[str]]


def addresses_of(host: str) -> list[str]:
    """All addresses of a name; none where it has none, which the engine will find out too."""
    try:
        return [str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError):
        return []


def require_public(image: str, resolve: Resolve = addresses_of) -> None:
    """Raises ``TaskError`` (image_missing) for an image of a registry that is not on the internet."""
    registry = registry_of(image)
    if registry == HUB:
        return
    if any(not ip_address(address).is_global for address in resolve(registry.partition(":")[0])):
        raise TaskError("image_missing", f"The registry {registry} is not on the internet, and hosts ask no other.")
