"""Where everything lies on a host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SERVICE = "spotyard-agent.service"


@dataclass(frozen=True)
class Layout:
    """``root`` is another directory than / in tests only."""

    root: Path = Path("/")

    @property
    def opt(self) -> Path:
        """Programs: versions of the agent, the launcher, a Python where the system's is too old."""
        return self.root / "opt/spotyard"

    @property
    def versions(self) -> Path:
        return self.opt / "versions"

    @property
    def current(self) -> Path:
        """Link to the version that was started last; the launcher sets it."""
        return self.opt / "current"

    @property
    def launcher(self) -> Path:
        return self.opt / "bin/spotyard-agent-launch"

    @property
    def manifest(self) -> Path:
        """What the installer has changed on this machine."""
        return self.opt / "manifest.json"

    @property
    def etc(self) -> Path:
        return self.root / "etc/spotyard"

    @property
    def config(self) -> Path:
        """The agent's options, one a line."""
        return self.etc / "agent.conf"

    @property
    def token(self) -> Path:
        """The install token, until the machine is registered."""
        return self.etc / "token"

    @property
    def token_note(self) -> Path:
        """The secret that the token was given in the place of that on the command line."""
        return self.etc / "token.json"

    @property
    def var(self) -> Path:
        """The agent's state directory."""
        return self.root / "var/lib/spotyard"

    @property
    def launch_state(self) -> Path:
        """Which version is to run."""
        return self.var / "launch.json"

    @property
    def log(self) -> Path:
        return self.root / "var/log/spotyard"

    @property
    def unit(self) -> Path:
        return self.root / "etc/systemd/system" / SERVICE

    @property
    def command(self) -> Path:
        """What people call: ``spotyard-agent status``."""
        return self.root / "usr/local/bin/spotyard-agent"
