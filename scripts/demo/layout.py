"""Where the demo keeps what, and on which ports it answers."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from scripts.demo.containers import owners_in

ROOT = Path(__file__).resolve().parent.parent.parent
AGENT_PORTS = "21000-21199"
RELAY_PORTS = "20800-20999"
SIMULATED = "4x RTX 3090"


@dataclass(frozen=True)
class Layout:
    """Folders and addresses of the demo under ``var``; ``port`` is the one people open in the browser."""

    port: int
    var: Path = ROOT / "var"
    relay_ports: str = RELAY_PORTS
    """What the relay gives to instances."""

    @property
    def data(self) -> Path:
        """All that `make demo-reset` forgets, except ``ready``."""
        return self.var / "demo"

    @property
    def ready(self) -> Path:
        """Written once a rental is possible: address, logins, machine."""
        return self.var / "demo.json"

    @property
    def prepared(self) -> Path:
        """Written when schema and accounts are there (see scripts/demo/site.py)."""
        return self.data / "prepared"

    @property
    def go(self) -> Path:
        """Written when machines may be listed and rented: agents start, the image is in the engine."""
        return self.data / "go"

    @property
    def announced(self) -> Path:
        """Written after the address and logins were printed."""
        return self.data / "announced"

    @property
    def paused_containers(self) -> Path:
        """Containers that ran when the demo ended."""
        return self.data / "paused-containers"

    @property
    def lock(self) -> Path:
        """Held by the demo that runs; says where."""
        return self.var / "demo.lock"

    @property
    def logs(self) -> Path:
        """One log for each process."""
        return self.var / "log"

    @property
    def cache(self) -> Path:
        """What may be fetched again but takes long; survives a reset."""
        return self.var / "cache"

    @property
    def agent_state(self) -> Path:
        """The demo machine's agent: its credential and what it remembers of its containers."""
        return self.data / "agent"

    @property
    def fleet_state(self) -> Path:
        """The same for the simulated machines that fill the market."""
        return self.data / "fleet"

    def owners(self) -> list[str]:
        """The labels that the demo's agents put on their containers."""
        return [label for folder in (self.agent_state, self.fleet_state) for label in owners_in(folder)]

    @property
    def held_port(self) -> int:
        """Where agents' held requests go."""
        return self.port + 1

    @property
    def provider_port(self) -> int:
        """Where the sandbox that stands for payment providers answers."""
        return self.port + 2

    @property
    def relay_port(self) -> int:
        """Where agents log in to the relay."""
        return self.port + 3

    @property
    def last_port(self) -> int:
        """The last of those that begin with ``port``."""
        return self.relay_port

    @property
    def provider_url(self) -> str:
        """The address of that sandbox."""
        return f"http://127.0.0.1:{self.provider_port}"

    @property
    def url(self) -> str:
        """The address of the site."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def held_url(self) -> str:
        """The address that agents use."""
        return f"http://127.0.0.1:{self.held_port}"

    def log(self, name: str) -> Path:
        """The log of the process ``name``."""
        return self.logs / f"{name}.log"

    def secret_key(self) -> str:
        """Django's SECRET_KEY of this demo, made once: sessions outlive a restart."""
        return self._secret("secret_key")

    def webhook_secret(self) -> str:
        """With which the sandbox signs what it tells the site."""
        return f"whsec_{self._secret('webhook_secret')}"

    def connect_webhook_secret(self) -> str:
        """The same for what it tells of hosts' accounts."""
        return f"whsec_{self._secret('connect_webhook_secret')}"

    def _secret(self, name: str) -> str:
        path = self.data / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(50))
        return path.read_text()
