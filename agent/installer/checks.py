"""Looks whether a machine can be a host, and says what to do where it can't. Changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from agent.installer.system import has, run

LEAST_DISK_GB = 10.0
LEAST_CAPABILITY = 6.0
LEAST_CUDA = 12.0
_UBUNTU = ((20, 4), (24, 4))
_DEBIAN = ((12, 0), (12, 99))
_NETWORK_SECONDS = 15.0
_POOR_FILE_SYSTEMS = ("tmpfs", "ramfs", "overlay", "nfs", "nfs4", "cifs", "9p", "vfat", "exfat", "fuseblk")
_DRIVER_REMEDY = (
    "Install NVIDIA's driver and restart the machine: on Ubuntu with ubuntu-drivers install, on Debian with "
    "apt-get install nvidia-driver (from the component non-free), until nvidia-smi lists all GPUs."
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``remedy`` is empty where all is well; ``fatal`` is False where one can go on."""

    title: str
    told: str
    remedy: str = ""
    fatal: bool = True

    @property
    def stops(self) -> bool:
        return bool(self.remedy) and self.fatal

    def __str__(self) -> str:
        mark = "ok" if not self.remedy else "FAIL" if self.fatal else "note"
        line = f"{mark:<5} {self.title}: {self.told}"
        return line if not self.remedy else f"{line}\n      {self.remedy}"


@dataclass(frozen=True)
class Wishes:
    """What the installation is to be: what the checks have to know of it."""

    site: str
    simulate: str = ""
    ports: tuple[int, int] = (20000, 20999)
    root: Path = Path("/")


def look(wishes: Wishes) -> Iterator[Check]:
    """Everything, one after the other."""
    yield rights(os.geteuid())
    yield operating_system(wishes.root)
    yield architecture(os.uname().machine)
    yield systemd(wishes.root)
    if wishes.simulate:
        yield Check("GPUs", f"{wishes.simulate}, SIMULATED: offers of this machine say so, containers get none")
    else:
        yield from graphics(wishes.root)
    yield disk(engine_directory(wishes.root))
    yield network(wishes.site)
    yield ports(*wishes.ports)
    yield engine()


def rights(user_id: int) -> Check:
    if user_id == 0:
        return Check("Rights", "root")
    return Check("Rights", f"user {user_id}", "Run it as root: put sudo before bash.")


def operating_system(root: Path) -> Check:
    facts = os_release(root)
    name = facts.get("PRETTY_NAME") or "unknown"
    version = tuple(int(part) for part in re.findall(r"\d+", facts.get("VERSION_ID", ""))[:2])
    version += (0,) * (2 - len(version))
    bounds = {"ubuntu": _UBUNTU, "debian": _DEBIAN}.get(facts.get("ID", ""))
    if bounds is None or version < bounds[0]:
        return Check("System", name, "Install Ubuntu 20.04, 22.04 or 24.04, or Debian 12.")
    if version > bounds[1]:
        remedy = "Newer than what this was made for (up to Ubuntu 24.04 and Debian 12). It goes on; tell us what fails."
        return Check("System", name, remedy, fatal=False)
    return Check("System", name)


def os_release(root: Path) -> dict[str, str]:
    """/etc/os-release by name; empty where there is none."""
    try:
        lines = (root / "etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def architecture(machine: str) -> Check:
    if machine == "x86_64":
        return Check("Architecture", machine)
    return Check("Architecture", machine, "Only x86-64 machines can be hosts: guests' images are made for it.")


def systemd(root: Path) -> Check:
    if (root / "run/systemd/system").is_dir():
        return Check("systemd", "runs")
    remedy = (
        "The agent is a service of systemd's. In WSL put systemd=true under [boot] in /etc/wsl.conf; in a container it "
        "can't be installed: use the machine itself."
    )
    return Check("systemd", "does not run", remedy)


def graphics(root: Path) -> Iterator[Check]:
    """GPUs and driver, as nvidia-smi tells them."""
    query = "--query-gpu=name,compute_cap,memory.total,driver_version"
    told = run(["nvidia-smi", query, "--format=csv,noheader,nounits"])
    if told.code == 127:
        seen = _devices(root)
        yield Check("GPUs", f"{seen or 'none'} of NVIDIA's, but no driver (nvidia-smi)", _no_driver(seen))
        return
    if not told.ok:
        yield Check("GPUs", f"nvidia-smi failed: {told.last_words}", _smi_remedy(told.out + told.err))
        return
    rows = gpu_rows(told.out)
    yield gpus(rows)
    if rows:
        yield driver(rows[0][3], run(["nvidia-smi"]).out)


def _devices(root: Path) -> int:
    """How many graphics devices of NVIDIA's the kernel sees, with or without a driver."""
    found = 0
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            facts = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()[:4]
        except OSError:
            continue
        found += facts == ("0x10de", "0x03")
    return found


def _no_driver(seen: int) -> str:
    if seen:
        return _DRIVER_REMEDY
    return (
        "Put in an NVIDIA GPU of the GTX 10 series or newer; a virtual machine needs it passed through. To try this "
        'without one, add --simulate "2x RTX 3090".'
    )


def _smi_remedy(told: str) -> str:
    if "mismatch" in told:
        return "The driver was updated while it ran: restart the machine."
    if "compute_cap" in told:
        return "The driver is too old: install version 525 or newer. " + _DRIVER_REMEDY
    return _DRIVER_REMEDY


def gpu_rows(csv: str) -> list[tuple[str, float, int, str]]:
    """Name, compute capability, memory in MB and driver of each GPU."""
    rows = []
    for line in csv.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 4:
            rows.append((parts[0], _number(parts[1]), int(_number(parts[2])), parts[3]))
    return rows


def gpus(rows: list[tuple[str, float, int, str]]) -> Check:
    names = [row[0] for row in rows]
    told = ", ".join(f"{names.count(name)}x {name}" for name in dict.fromkeys(names)) or "none"
    if not rows:
        return Check("GPUs", told, "nvidia-smi lists no GPU: see that it sits well and has its power cables.")
    old = [row[0] for row in rows if row[1] < LEAST_CAPABILITY]
    if old:
        remedy = f"{old[0]} is older than the GTX 10 series (compute capability {LEAST_CAPABILITY}). Take it out."
        return Check("GPUs", told, remedy)
    if len(set(names)) > 1:
        return Check("GPUs", told, "A machine's GPUs have to be of one model. Take out the others.")
    return Check("GPUs", told)


def driver(version: str, banner: str) -> Check:
    """``banner`` is what plain nvidia-smi prints: only there it says which CUDA the driver can do."""
    found = re.search(r"CUDA Version:\s*([\d.]+)", banner)
    cuda = _number(found.group(1)) if found else 0.0
    told = "{}, CUDA {}".format(version, found.group(1) if found else "unknown")
    if cuda < LEAST_CUDA:
        remedy = f"Guests need CUDA {LEAST_CUDA}: install driver 525 or newer. {_DRIVER_REMEDY}"
        return Check("Driver", told, remedy)
    return Check("Driver", told)


def _number(text: str) -> float:
    found = re.match(r"\d+(\.\d+)?", text)
    return float(found.group(0)) if found else 0.0


def engine_directory(root: Path) -> Path:
    """Where the container engine keeps, or will keep, guests' data."""
    told = run(["docker", "info", "--format", "{{.DockerRootDir}}"])
    path = Path(told.out.strip()) if told.ok and told.out.strip() else root / "var/lib/docker"
    return next(parent for parent in (path, *path.parents) if parent.exists())


def disk(directory: Path) -> Check:
    free_gb = shutil.disk_usage(str(directory)).free / 1e9
    kind = run(["stat", "--file-system", "--format=%T", str(directory)]).out.strip() or "unknown"
    kind = "overlay" if kind.startswith("overlay") else kind
    told = f"{free_gb:.0f} GB free on {directory} ({kind})"
    if kind in _POOR_FILE_SYSTEMS:
        return Check(
            "Disk", told, "Let the engine keep its data on a local ext4, xfs or btrfs: data-root in daemon.json."
        )
    if free_gb < LEAST_DISK_GB:
        remedy = f"Free {LEAST_DISK_GB:.0f} GB at least, or move the engine's data-root to a larger disk."
        return Check("Disk", told, remedy)
    return Check("Disk", told)


def network(site: str) -> Check:
    problem = _unreachable(site)
    if problem is None:
        return Check("Network", f"{site} answers")
    remedy = (
        "The agent dials out to this address: check the name server, the clock, and firewalls and proxies on the way."
    )
    return Check("Network", f"{site}: {problem}", remedy)


def _unreachable(site: str) -> str | None:
    try:
        with urllib.request.urlopen(site + "/healthz/", timeout=_NETWORK_SECONDS) as answer:  # noqa: S310 - of ours
            answer.read(1)
    except urllib.error.HTTPError as error:
        return f"HTTP status {error.code}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None


def ports(first: int, last: int) -> Check:
    """Guests' ports have to be free, but for those that guests of a machine that is set up already have."""
    used = [port for port in range(first, last + 1) if not is_free(port)]
    told = f"{first}-{last}, {len(used)} in use"
    if 2 * len(used) > last - first + 1:
        remedy = "End what uses them (ss -tlnp lists it), or choose another range with --ports FIRST-LAST."
        return Check("Ports", told, remedy)
    return Check("Ports", told)


def is_free(port: int) -> bool:
    """Whether the engine could publish a guest's port there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - as the engine will
        except OSError:
            return False
    return True


def engine_kind() -> str:
    """What stands for Docker here: "docker", "podman", "snap", "absent" or "stopped"."""
    if not has("docker"):
        return "absent"
    path = os.path.realpath(shutil.which("docker") or "")
    if "/snap" in path:
        return "snap"
    told = run(["docker", "version", "--format", "{{.Server.Version}}"])
    if "podman" in (told.out + told.err + run(["docker", "--version"]).out).lower():
        return "podman"
    return "docker" if told.ok else "stopped"


def engine() -> Check:
    kind = engine_kind()
    told = {"absent": "none", "stopped": "does not run", "docker": "Docker"}.get(kind, kind)
    if kind == "snap":
        return Check(
            "Engine", told, "Docker of snap can't reach all of the disk: snap remove docker, then run this again."
        )
    if kind == "podman":
        return Check(
            "Engine", told, "Podman stands for Docker here: apt-get remove podman-docker, then run this again."
        )
    return Check("Engine", told)
