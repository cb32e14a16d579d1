"""Locks a process into the disk of a stopped container, for good."""

import ctypes
import os
import re
import resource
import signal
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC, _CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 2, 4, 8, 32
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAP_VERSION = 0x20080522
_CAP_CHOWN, _CAP_DAC_OVERRIDE, _CAP_FOWNER, _CAP_FSETID = 0, 1, 3, 4
_KEPT_CAPABILITIES = (_CAP_CHOWN, _CAP_DAC_OVERRIDE, _CAP_FOWNER, _CAP_FSETID)
_LAST_CAPABILITY = 63
_MAPPED = re.compile(r"([1-9][0-9]*)\.([1-9][0-9]*)")
_FLAGS = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_MOST_MEMORY_BYTES = 1 << 30
_MOST_FILES = 256

_libc = ctypes.CDLL(None, use_errno=True)


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """Where the parts of a disk are (see ``agent.engine.types.DiskParts``), and an empty directory to mount it on."""

    lower: list[str]
    upper: str
    work: str
    volumes: dict[str, str]
    mount_point: str


class ConfinementError(Exception):
    """The disk can't be mounted, or this process not be locked in; says why."""


def die_with_parent() -> None:
    """End at once when the agent ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def enter(disk: Disk, *, cpu_seconds: int) -> None:
    """Make the disk this process's whole world, for good. Raises ``ConfinementError``."""
    _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWNET), "unshare")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount_overlay(disk)
    for place, source in sorted(disk.volumes.items()):
        _mount_volume(disk.mount_point, place, source)
    _change_root(disk.mount_point)
    _refuse_imports()
    _limit(cpu_seconds)
    _act_as(*root_inside(disk.upper))
    _drop_rights()


def _mount_overlay(disk: Disk) -> None:
    """As the engine mounts it. Names of layers are shortened as it does, for the kernel takes a page of options."""
    root = Path(disk.upper).parent.parent
    os.chdir(root)
    lower = ":".join(_short(Path(layer), root) for layer in disk.lower)
    options = f"lowerdir={lower},upperdir={disk.upper},workdir={disk.work}"
    try:
        _mount("overlay", disk.mount_point, "overlay", _FLAGS, f"index=off,{options}")
    except ConfinementError:
        _mount("overlay", disk.mount_point, "overlay", _FLAGS, options)


def _short(layer: Path, root: Path) -> str:
    """The link that the engine keeps for a layer, relative to its directory; the layer itself where there is none."""
    try:
        link = f"l/{(layer.parent / 'link').read_text().strip()}"
    except OSError:
        return str(layer)
    return link if (root / link).resolve() == layer.resolve() else str(layer)


def _mount_volume(mount_point: str, place: str, source: str) -> None:
    """Left out where the way to its place leads over a link: that might lead anywhere."""
    target = Path(mount_point)
    for part in Path(place).parts[1:]:
        target = target / part
        try:
            mode = target.lstat().st_mode
        except OSError:
            return
        if part == ".." or not stat.S_ISDIR(mode):
            return
    _mount(source, str(target), None, _MS_BIND)
    _mount("none", str(target), None, _MS_BIND | _MS_REMOUNT | _FLAGS)


def _change_root(mount_point: str) -> None:
    """After this nothing of the host's files is left in this process's world."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise ConfinementError(f"unknown processor architecture {os.uname().machine}")
    os.chdir(mount_point)
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chroot(".")
    os.chdir("/")


def _refuse_imports() -> None:
    """What is not loaded by now would be looked for on the client's disk."""
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()


def _limit(cpu_seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_FILES, _MOST_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def root_inside(layer: str) -> tuple[int, int]:
    """User and group that root in the container is outside: the engine keeps the layers of those that it maps in a
    directory named after both."""
    found = next((match for part in Path(layer).parts if (match := _MAPPED.fullmatch(part))), None)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _act_as(user: int, group: int) -> None:
    """To file systems alone: what is made belongs to root inside, who could not even delete it else."""
    _libc.setfsgid(group)
    _libc.setfsuid(user)


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def _drop_rights() -> None:
    """Keep what root needs to work on files, and nothing else."""
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in _KEPT_CAPABILITIES:
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    kept = sum(1 << capability for capability in _KEPT_CAPABILITIES)
    data = (_CapData * 2)(_CapData(kept, kept, 0), _CapData(0, 0, 0))
    _check(_libc.capset(ctypes.byref(_CapHeader(_CAP_VERSION, 0)), data), "capset")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    result = _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _check(result, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        raise ConfinementError(f"{what}: {os.strerror(ctypes.get_errno())}")


def unprivileged(rights: Mapping[str, str]) -> bool:
    """Whether the kernel's account of a process shows no right beyond those over files; for tests."""
    kept = sum(1 << capability for capability in _KEPT_CAPABILITIES)
    return all(int(rights[name], 16) & ~kept == 0 for name in ("CapEff", "CapPrm", "CapBnd"))
