"""What a host may state about a machine, from the command line or a fleet's configuration."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from agent.inventory.host import HostOptions

DEFAULT_PORTS = (20000, 20999)
DEFAULT_DISK_FLOOR_GB = 2.0
_LOWEST_PORT = 1024
_HIGHEST_PORT = 65535


class OptionError(ValueError):
    """An option makes no sense; says which and how to write it."""


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """One machine. ``simulate`` is None for real GPUs; ``seed`` makes a simulated one the same every time."""

    server: str
    state_dir: Path
    token: str | None = None
    simulate: str | None = None
    seed: str | None = None
    port_first: int = DEFAULT_PORTS[0]
    port_last: int = DEFAULT_PORTS[1]
    public_address: str | None = None
    geolocation: str | None = None
    host: HostOptions = field(default_factory=HostOptions)
    disk_floor_gb: float = DEFAULT_DISK_FLOOR_GB
    ca_file: str | None = None
    local_registries: bool = False


def parse_ports(text: str) -> tuple[int, int]:
    """ "20000-20999" as (first, last). Raises ``OptionError``."""
    match = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", text)
    if match is None:
        raise OptionError(f"“{text}” is no range of ports; write for example 20000-20999.")
    first, last = int(match[1]), int(match[2])
    if not _LOWEST_PORT <= first <= last <= _HIGHEST_PORT:
        raise OptionError(f"The range of ports {text} must lie within {_LOWEST_PORT}-{_HIGHEST_PORT}, low to high.")
    return first, last


def parse_server(text: str) -> str:
    """A base URL without the final slash. Raises ``OptionError``."""
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise OptionError(f"“{text}” is no server address; write for example https://spotyard.example.")
    return text.rstrip("/")


def find_token(direct: str | None, file: Path | None) -> str | None:
    """The install token, wherever it was given; None where it was not. Raises ``OptionError``."""
    if direct:
        return direct.strip()
    if file is not None:
        try:
            return file.read_text().strip() or None
        except OSError as error:
            raise OptionError(f"The token file {file} can't be read: {error.strerror}.") from error
    return os.environ.get("SPOTYARD_TOKEN", "").strip() or None


def default_state_dir() -> Path:
    """/var/lib for root, else the user's own state directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/spotyard-agent")
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / "spotyard-agent"
