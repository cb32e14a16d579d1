"""The demo's containers, found by the label that its agents put on them."""

import subprocess
from pathlib import Path

OWNER_LABEL = "spotyard.owner"
_VOLUMES = (
    '{{range .Mounts}}{{if and (eq .Type "volume") (ne .Destination "/.spotyard/tools")}}{{.Name}} {{end}}{{end}}'
)
"""Their own: the guest tools belong to all containers of the engine."""


def stop(owners: list[str], note: Path) -> None:
    """Stop the running containers of these owners, keeping their disks, and note which.

    An agent that comes back to a container that has ended takes it for a program that has ended. So ``resume``
    starts those again before the agents look.
    """
    found = [container for owner in owners for container in _list(owner, running=True)]
    if found:
        note.write_text("\n".join(found))
        _docker("stop", "--time", "3", *found)


def resume_command(note: Path) -> list[str] | None:
    """The command that starts again what ``stop`` noted; None when there is nothing. The note is used up."""
    try:
        noted = note.read_text().split()
    except OSError:
        return None
    note.unlink()
    return ["docker", "start", *noted] if noted else None


def remove(owners: list[str]) -> int:
    """Remove the containers of these owners with their disks; how many there were.

    The disk of a container that moved between GPUs is an image, and its volumes have names: they go too, and so do the
    volumes that clients rented, and each container's network.
    """
    found = [container for owner in owners for container in _list(owner, running=False)]
    volumes = _docker("inspect", "--format", _VOLUMES, *found).split() if found else []
    volumes += [volume for owner in owners for volume in _rented_volumes(owner)]
    _unmount(volumes)
    if found:
        _docker("rm", "--force", "--volumes", *found)
    if networks := [network for owner in owners for network in _networks(owner)]:
        _docker("network", "rm", *networks)
    if left := set(volumes) & set(_docker("volume", "ls", "--quiet").split()):
        _docker("volume", "rm", "--force", *sorted(left))
    disks = [disk for owner in owners for disk in _disks(owner)]
    if disks:
        _docker("rmi", "--force", *dict.fromkeys(disks))
    return len(found)


def _disks(owner: str) -> list[str]:
    return _docker("images", "--all", "--quiet", "--filter", f"label={OWNER_LABEL}={owner}").split()


def _networks(owner: str) -> list[str]:
    return _docker("network", "ls", "--quiet", "--filter", f"label={OWNER_LABEL}={owner}").split()


def _rented_volumes(owner: str) -> list[str]:
    return _docker("volume", "ls", "--quiet", "--filter", f"label={OWNER_LABEL}={owner}").split()


def _unmount(volumes: list[str]) -> None:
    """Agents gave them file systems of their own, and the engine deletes nothing that is mounted on; the files go with
    the next agent's start."""
    root = _docker("info", "--format", "{{.DockerRootDir}}").strip() if volumes else ""
    for volume in volumes if root else []:
        subprocess.run(["umount", f"{root}/volumes/{volume}"], capture_output=True, check=False)


def _list(owner: str, *, running: bool) -> list[str]:
    options = [] if running else ["--all"]
    return _docker("ps", "--quiet", "--filter", f"label={OWNER_LABEL}={owner}", *options).split()


def _docker(*arguments: str) -> str:
    """What it printed; nothing when the engine does not answer in time: ending the demo must go on."""
    command = ["docker", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120).stdout
    except subprocess.TimeoutExpired:
        return ""


def owners_in(folder: Path) -> list[str]:
    """The owner labels of all agents whose state directories lie in ``folder`` (an agent writes its own down)."""
    return [path.read_text().strip() for path in folder.glob("**/owner")]
