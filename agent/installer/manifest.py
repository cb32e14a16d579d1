"""What the installer has brought to a machine, so that it can take exactly that away again.

Written down before anything is done: whoever is interrupted knows the next time what was there before.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Callable

from agent.installer.system import InstallError, run, write


@dataclass
class Manifest:
    """``packages`` came with us; ``before`` is what there was when an installation of packages began that did not end.

    ``files`` lie outside of our own directories. ``engine``: the container engine is among the packages, so all that it
    keeps is ours too. ``groups`` were made by packages of ours. ``blind_engine``: the run of the engine that NVIDIA's
    toolkit came into, and which does not know it.
    """

    path: Path
    packages: list[str] = field(default_factory=list)
    before: list[str] | None = None
    files: list[str] = field(default_factory=list)
    engine: bool = False
    groups: list[str] = field(default_factory=list)
    blind_engine: str | None = None

    def save(self) -> None:
        facts = asdict(self)
        del facts["path"]
        write(self.path, json.dumps(facts, indent=1) + "\n", 0o600)

    def add_file(self, path: Path) -> None:
        """Note a file that is about to be made."""
        if str(path) not in self.files:
            self.files.append(str(path))
            self.save()

    def bring(self, install: Callable[[], None]) -> None:
        """Let packages be installed, and note which are new."""
        if self.before is None:
            self.before = installed_packages()
            self.save()
        install()
        self.settle()

    def settle(self) -> None:
        """Note what is new since ``before``, after an installation or one that was interrupted."""
        if self.before is None:
            return
        now = installed_packages()
        self.packages = [*self.packages, *(name for name in now if name not in {*self.before, *self.packages})]
        self.engine = self.engine or "docker.io" in self.packages
        self.before = None
        self.save()


def load(path: Path) -> Manifest:
    """What was noted; nothing where there is no note. Raises ``InstallError``."""
    try:
        told = json.loads(path.read_text())
    except FileNotFoundError:
        return Manifest(path)
    except (OSError, ValueError) as error:
        raise InstallError(f"{path} can't be read: {error}") from error
    known = {one.name for one in fields(Manifest)} - {"path"}
    return Manifest(path, **{name: value for name, value in told.items() if name in known})


def installed_packages() -> list[str]:
    """Names of what dpkg has installed."""
    told = run(["dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${binary:Package}\n"])
    return parse_packages(told.out)


def parse_packages(listing: str) -> list[str]:
    """Names in a listing of dpkg-query's, without the architecture."""
    rows = (line.split() for line in listing.splitlines())
    return sorted({row[1].partition(":")[0] for row in rows if len(row) == 2 and row[0] == "ii"})
