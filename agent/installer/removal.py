"""Takes away what the installer brought, and only that. Each part can be done again: an interrupted removal goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

from agent.installer.layout import SERVICE, Layout
from agent.installer.manifest import Manifest
from agent.installer.system import InstallError, change, has, run
from agent.installer.words import say

OWNER_LABEL = "spotyard.owner"
_TOOLS_LABEL = "spotyard.tools"
_TABLE = "spotyard"
_NETWORK = "spotyard"
_ENGINE_DIRECTORIES = ("var/lib/docker", "var/lib/containerd", "etc/docker", "run/docker", "opt/containerd")
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}


def remove(layout: Layout, manifest: Manifest, *, dry: bool, force: bool) -> None:
    """Raises ``InstallError``, with nothing done, where clients' containers are here and ``force`` is not given."""
    if not dry:
        manifest.settle()
    guests = _containers(layout)
    if guests and not force:
        raise InstallError(
            f"{len(guests)} containers of clients are on this machine; their data would be lost. Take the machine off "
            "the market, wait until they have gone, and run this again; or add --force."
        )
    for line in _plan(layout, manifest, guests):
        say("{} {}".format("would" if dry else "-->", line))
    if dry:
        return
    _end_service(layout)
    _end_tunnel(layout)
    _clear_engine(guests)
    _remove_packages(layout, manifest)
    _remove_files(layout, manifest)
    say("Removed. The machine is listed under Host / Machines until its host removes it there.")


def _plan(layout: Layout, manifest: Manifest, guests: list[str]) -> list[str]:
    lines = [f"stop and remove the service {SERVICE}"]
    if guests:
        lines.append(f"delete {len(guests)} containers of clients with their data")
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


def _containers(layout: Layout) -> list[str]:
    owner = _owner(layout)
    if not owner or not has("docker"):
        return []
    label = f"label={OWNER_LABEL}={owner}"
    return run(["docker", "ps", "--all", "--quiet", "--filter", label]).out.split()


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


def _clear_engine(guests: list[str]) -> None:
    """What bears the agent's labels and names. Others' containers, images and volumes are left alone."""
    if not has("docker"):
        return
    if guests:
        run(["docker", "rm", "--force", "--volumes", *guests], 600)
    if run(["docker", "ps", "--all", "--quiet", "--filter", f"label={OWNER_LABEL}"]).out.strip():
        return  # another agent works with this engine, and shares the rest
    _drop("container", ["docker", "ps", "--all", "--quiet", "--filter", f"label={_TOOLS_LABEL}"])
    for label in (_TOOLS_LABEL, OWNER_LABEL):
        _drop("volume", ["docker", "volume", "ls", "--quiet", "--filter", f"label={label}"])
    for reference in ("spotyard-disk/*", "spotyard/empty"):
        _drop("image", ["docker", "image", "ls", "--quiet", "--filter", f"reference={reference}"])
    run(["docker", "network", "rm", _NETWORK])
    if has("nft"):
        run(["nft", "delete", "table", "inet", _TABLE])


def _drop(kind: str, listing: list[str]) -> None:
    found = sorted(set(run(listing).out.split()))
    if found:
        run(["docker", kind, "rm", "--force", *found], 600)


def _remove_packages(layout: Layout, manifest: Manifest) -> None:
    """Only what is installed still and came with us. What the engine keeps goes with the engine."""
    if manifest.packages:
        run(["systemctl", "stop", "docker.socket", "docker.service", "containerd.service"])
        command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "purge", "--yes", "-q", *manifest.packages]
        change(command, "Removing packages", _QUIET)
        if manifest.engine:
            for directory in _ENGINE_DIRECTORIES:
                shutil.rmtree(str(layout.root / directory), ignore_errors=True)
        for group in manifest.groups:
            run(["groupdel", group])
        manifest.packages, manifest.engine, manifest.groups = [], False, []
        manifest.save()


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
