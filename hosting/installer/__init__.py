"""The script that makes a machine a host, as this marketplace serves it."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from agent.protocol import BUNDLE_PATH
from hosting.gateways.agent_bundle import AgentBundle, current_bundle

_SOURCE = Path(__file__).with_name("install.sh")


@dataclass(frozen=True)
class InstallScript:
    """``digest`` is the SHA-256 of ``text`` in hex."""

    text: str
    digest: str


def install_script() -> InstallScript:
    """For this site and the agent that it offers."""
    return rendered(settings.SITE_URL, current_bundle())


@functools.lru_cache(maxsize=4)
def rendered(site: str, bundle: AgentBundle) -> InstallScript:
    """The script with addresses and digests filled in, where the shell takes them as they are: between single quotes.

    Raises ValueError for an address that would end the quotes.
    """
    values = {
        "@SITE@": site,
        "@BUNDLE_URL@": f"{site}{BUNDLE_PATH}{bundle.digest}",
        "@BUNDLE_SHA256@": bundle.digest,
        "@VERSION@": bundle.version,
    }
    text = _SOURCE.read_text()
    for name, value in values.items():
        if "'" in value or not value.isprintable():
            raise ValueError(f"{value!r} can't be written into the install script.")
        text = text.replace(name, value)
    return InstallScript(text, hashlib.sha256(text.encode()).hexdigest())


def install_command(token: str) -> str:
    """What a host pastes into a terminal of the machine."""
    return f"curl -fsSL {settings.SITE_URL}/install.sh | sudo bash -s -- {token}"


def careful_command() -> str:
    """The same without the token on any command line, and with a look at the script's digest first."""
    script = install_script()
    return (
        f"curl -fsSLO {settings.SITE_URL}/install.sh\n"
        f"echo '{script.digest}  install.sh' | sha256sum --check && sudo bash install.sh"
    )
