"""Takes away what the installer brought, and only that. Each part can be done again: an interrupted removal goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.installer.checks import engine_directory
from agent.installer.layout import SERVICE, Layout
from agent.installer.manifest import Manifest
from agent.installer.system import InstallError, change, has, run
from agent.installer.words import say

OWNER_LABEL = "spotyard.owner"
_TOOLS_LABEL = "spotyard.tools"
_VOLUME_LABEL = "spotyard.volume"
_ENGINE_PACKAGE = "docker.io"
_NAMELESS = re.compile("[0-9a-f]{64}")
"""Volumes that belong to a container are called so."""
_TABLE = "spotyard"
_NETWORK_LABEL = "spotyard.guest"
_SHARED_NETWORK = "spotyard"
"""Of all guests, as agents before this one made it."""
_DISKS = "spotyard-disks"
_VOLUME_DISKS = "spotyard-volumes"
_VOLUME_NAMES = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
_ENGINE_EMPTY = ("etc/cni/net.d", "etc/cni")
_ENGINE_DIRECTORIES = ("var/lib/docker", "var/lib/containerd", "etc/docker", "run/docker", "opt/containerd")
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}


def remove(layout: Layout, manifest: Manifest, *, dry: bool, force: bool) -> None:
    """Raises ``InstallError``, with nothing done, where clients' containers are here and ``force`` is not given."""
    if not dry:
        manifest.settle()
    # First, so that nothing more begins here.
    stopped = not dry and layout.unit.exists() and run(["systemctl", "stop", SERVICE]).ok
    guests = Guests(_listed(layout, ["ps", "--all"]), _listed(layout, ["volume", "ls"], _VOLUME_LABEL))
    if (guests.containers or guests.volumes) and not force:
        if stopped:
            run(["systemctl", "start", SERVICE])
        raise InstallError(
            f"This machine has {guests}; their data would be lost. Take the machine off the market, wait until they "
            "have gone, and run this again; or add --force."
        )
    kept = _foreign() if manifest.engine else ""
    if kept:
        manifest.packages = [name for name in manifest.packages if _ENGINE_PACKAGE not in _with([name])]
        manifest.engine, manifest.groups = False, []
        say(f"note  Docker stays, with what it needs: it keeps {kept} that others made.")
    for line in _plan(layout, manifest, guests):
        say("{} {}".format("would" if dry else "-->", line))
    if dry:
        return
    _end_service(layout)
    _end_tunnel(layout)
    _clear_engine(layout, guests)
    _remove_packages(layout, manifest)
    _remove_files(layout, manifest)
    say("Removed. The machine is listed under Host / Machines until its host removes it there.")


@dataclass(frozen=True)
class Guests:
    """What clients have here, by the engine's names."""

    containers: list[str]
    volumes: list[str]

    def __str__(self) -> str:
        return _counted(containers=len(self.containers), volumes=len(self.volumes)) + " of clients"


def _counted(**numbers: int) -> str:
    """Numbers of things in words: "1 container and 2 volumes"; empty for none."""
    words = (f"{number} {name[:-1] if number == 1 else name}" for name, number in numbers.items() if number)
    return " and ".join(words)


def _foreign() -> str:
    """Containers and named volumes that are not the agent's, in words; empty where there are none."""
    ours = (f"label={OWNER_LABEL}", f"label={_TOOLS_LABEL}")
    counts = {}
    for kind, listing in (("containers", ["docker", "ps", "--all"]), ("volumes", ["docker", "volume", "ls"])):
        found = set(run([*listing, "--quiet"]).out.split())
        for label in ours:
            found -= set(run([*listing, "--quiet", "--filter", label]).out.split())
        counts[kind] = sum(not _NAMELESS.fullmatch(name) for name in found)
    return _counted(**counts)


def _plan(layout: Layout, manifest: Manifest, guests: Guests) -> list[str]:
    lines = [f"stop and remove the service {SERVICE}"]
    if guests.containers or guests.volumes:
        lines.append(f"delete {guests} with their data")
    lines.append("delete the agent's network, volumes, saved disks and firewall table")
    if manifest.packages:
        lines.append("remove the packages {}".format(" ".join(manifest.packages)))
    if manifest.engine:
        lines.append("delete all that Docker keeps, since it was installed for this")
    paths = [str(path) for path in (*_directories(layout), layout.command, layout.unit)] + manifest.files
    lines.append("delete {}".format(", ".join(paths)))
    return lines


def _directories(layout: Layout) -> list[Path]:
    return [layout.etc, layout.var, layout.log, layout.opt]


def _owner(layout: Layout) -> str:
    """The label of this agent's containers; empty where it never ran."""
    try:
        return (layout.var / "owner").read_text().strip()
    except OSError:
        return ""


def _listed(layout: Layout, what: list[str], *labels: str) -> list[str]:
    """Of this agent, with these labels as well."""
    owner = _owner(layout)
    if not owner or not has("docker"):
        return []
    filters = [word for label in (f"{OWNER_LABEL}={owner}", *labels) for word in ("--filter", f"label={label}")]
    return run(["docker", *what, "--quiet", *filters]).out.split()


def _end_service(layout: Layout) -> None:
    if layout.unit.exists():
        run(["systemctl", "disable", "--now", SERVICE])
        layout.unit.unlink()
        run(["systemctl", "daemon-reload"])
        run(["systemctl", "reset-failed", SERVICE])


def _end_tunnel(layout: Layout) -> None:
    """The connection to the relay outlives the agent: it is the ssh that works in the agent's directory."""
    home = os.path.realpath(str(layout.var / "relay"))
    for process in Path("/proc").glob("[0-9]*"):
        if _works_in(process, home):
            os.kill(int(process.name), signal.SIGTERM)


def _works_in(process: Path, home: str) -> bool:
    try:
        return os.readlink(str(process / "cwd")) == home and (process / "comm").read_text().strip() == "ssh"
    except OSError:
        return False  # it ended


def _clear_engine(layout: Layout, guests: Guests) -> None:
    """What bears the agent's labels and names. Others' containers, images and volumes are left alone."""
    if not has("docker"):
        return
    own = _listed(layout, ["volume", "ls"])
    _unmount_volumes(layout, [*own, *_volumes_of(guests.containers)])
    if guests.containers:
        run(["docker", "rm", "--force", "--volumes", *guests.containers], 600)
    if own:
        run(["docker", "volume", "rm", "--force", *own], 600)
    if run(["docker", "ps", "--all", "--quiet", "--filter", f"label={OWNER_LABEL}"]).out.strip():
        return  # another agent works with this engine, and shares the rest
    _drop("container", ["docker", "ps", "--all", "--quiet", "--filter", f"label={_TOOLS_LABEL}"])
    _drop("volume", ["docker", "volume", "ls", "--quiet", "--filter", f"label={_TOOLS_LABEL}"])
    for reference in ("spotyard-disk/*", "spotyard/empty"):
        _drop("image", ["docker", "image", "ls", "--quiet", "--filter", f"reference={reference}"])
    for image in _fetched(layout):
        run(["docker", "image", "rm", image], 600)  # without force: one that somebody uses stays
    _remove_disks(layout)
    _drop("network", ["docker", "network", "ls", "--quiet", "--filter", f"label={_NETWORK_LABEL}"])
    run(["docker", "network", "rm", _SHARED_NETWORK])
    if has("nft"):
        run(["nft", "delete", "table", "inet", _TABLE])


def _volumes_of(containers: list[str]) -> list[str]:
    return run(["docker", "inspect", "--format", _VOLUME_NAMES, *containers]).out.split() if containers else []


def _unmount_volumes(layout: Layout, names: list[str]) -> None:
    """The agent gave them file systems of their own; the engine deletes nothing that is mounted on."""
    for name in sorted(set(names)):
        run(["umount", str(engine_directory(layout.root) / "volumes" / name)])


def _fetched(layout: Layout) -> list[str]:
    """Ids of the images that the agent has fetched for guests, as it wrote them down."""
    try:
        told = json.loads((layout.var / "fetched-images.json").read_text())
        return sorted(str(image) for image in told["images"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _remove_disks(layout: Layout) -> None:
    """Of containers and volumes that are gone: their file systems lie as files beside what the engine keeps."""
    for name in (_DISKS, _VOLUME_DISKS):
        _remove_files_of_disks(engine_directory(layout.root) / name)


def _remove_files_of_disks(place: Path) -> None:
    for staging in [*place.glob("*.staging"), *place.glob("*.files")]:
        run(["umount", str(staging)])
    shutil.rmtree(str(place), ignore_errors=True)


def _drop(kind: str, listing: list[str]) -> None:
    found = sorted(set(run(listing).out.split()))
    if found:
        run(["docker", kind, "rm", *([] if kind == "network" else ["--force"]), *found], 600)


def _remove_packages(layout: Layout, manifest: Manifest) -> None:
    """Only what is installed still and came with us. What the engine keeps goes with the engine."""
    going = unneeded(manifest.packages)
    if going:
        if manifest.engine:
            run(["systemctl", "stop", "docker.socket", "docker.service", "containerd.service"])
        command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "purge", "--yes", "-q", *going]
        change(command, "Removing packages", _QUIET)
        if manifest.engine:
            _remove_engine(layout)
        for group in manifest.groups:
            run(["groupdel", group])
        manifest.packages, manifest.engine, manifest.groups = [], False, []
        manifest.save()


def _remove_engine(layout: Layout) -> None:
    for directory in _ENGINE_DIRECTORIES:
        shutil.rmtree(str(layout.root / directory), ignore_errors=True)
    for directory in _ENGINE_EMPTY:
        with suppress(OSError):  # somebody has put something there, or it is gone
            (layout.root / directory).rmdir()
    run(["ip", "link", "delete", "docker0"])
    say("note  Docker's rules in the kernel's packet filter go when the machine is restarted.")


def unneeded(packages: list[str]) -> list[str]:
    """Those of these packages whose removal takes none with it that came later by somebody else's hand."""
    if not packages or _with(packages) <= set(packages):
        return packages
    return [package for package in packages if _with([package]) <= set(packages)]


def _with(packages: list[str]) -> set[str]:
    """What apt would remove together with these."""
    told = run(["apt-get", "--simulate", "purge", *packages], env=_QUIET).out
    words = (line.split() for line in told.splitlines() if line.startswith(("Remv ", "Purg ")))
    return {line[1].partition(":")[0].rstrip("*") for line in words}


def _remove_files(layout: Layout, manifest: Manifest) -> None:
    """Our own directory, which has the manifest in it, goes last."""
    for path in (*map(Path, manifest.files), layout.command):
        if path.exists():
            path.unlink()
    for directory in _directories(layout):
        shutil.rmtree(str(directory), ignore_errors=True)


def machine_id(layout: Layout) -> int:
    """Number of the machine at the marketplace; 0 where it is not registered."""
    try:
        return int(json.loads((layout.var / "state.json").read_text()).get("machine_id") or 0)
    except (OSError, ValueError, TypeError):
        return 0
