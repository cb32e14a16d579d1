"""Nameservers for containers in a sandbox.

The engine answers the names that containers ask for at an address on their own loopback, which a sandbox with a network
stack of its own never asks. So it is told servers in the open. Those of the host's local network are none: guests don't
reach it.
"""

from ipaddress import ip_address
from pathlib import Path

USUAL = ("1.1.1.1", "8.8.8.8")
"""Where the host names no server that guests reach."""
HOSTS_FILES = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
_MOST = 3


def reachable(texts: list[str]) -> list[str]:
    """The nameservers in these resolv.conf texts that lie on the internet; the usual ones where there is none."""
    return [server for server in _named(texts) if _is_on_the_internet(server)][:_MOST] or list(USUAL)


def asked_by_the_engine() -> list[str]:
    """The nameservers that it hands the names on to that guests ask for, from the guest's own network: all that the
    host names, but those on its loopback, which the engine asks itself."""
    return [server for server in _named(_hosts_texts()) if _is_elsewhere(server)]


def _named(texts: list[str]) -> list[str]:
    lines = [line.split() for text in texts for line in text.splitlines()]
    return list(dict.fromkeys(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"))


def _hosts_texts() -> list[str]:
    return [path.read_text(errors="replace") for path in HOSTS_FILES if path.is_file()]


def point_at_nameservers(file: Path) -> str | None:
    """Write them into the file that a container has as its /etc/resolv.conf; a sentence where that fails.

    The engine writes it anew at each start, and the container's view is this very file, so it is changed in place.
    """
    servers = reachable(_hosts_texts())
    try:
        with file.open("r+") as opened:
            opened.truncate()
            opened.write("".join(f"nameserver {server}\n" for server in servers))
    except OSError as error:
        return str(error)
    return None


def _is_on_the_internet(server: str) -> bool:
    try:
        address = ip_address(server)
    except ValueError:
        return False
    return address.version == 4 and address.is_global


def _is_elsewhere(server: str) -> bool:
    try:
        return not ip_address(server).is_loopback
    except ValueError:
        return False
