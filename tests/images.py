"""Tiny container images for tests, built from Debian packages or this machine's own programs; no registry needed.

``build(kind)`` returns the tag of one of the kinds below, building it only when the engine does not have it yet.
"""

import io
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import docker

from agent.engine.labels import LENT_LABEL

VERSION = "3"
Kind = Literal["openssh", "dropbear", "nosshd", "noshell", "opinionated", "alpine", "shellonly", "brokensshd"]
"""opinionated is the OpenSSH one with settings of its own: user, directory, entrypoint, command, and a volume. alpine
is laid out as Alpine Linux: busybox, musl, no other C library, no bash. shellonly has a shell and nothing besides."""

PASSWD = "root:x:0:0:root:/root:/bin/sh\nsshd:x:74:74:sshd:/run/sshd:/bin/false\nnobody:x:99:99:n:/:/bin/false\n"
GROUP = "root:x:0:\nsshd:x:74:\nnogroup:x:99:\n"
SHADOW = "root:*:19000:0:99999:7:::\nsshd:*:19000::::::\n"
ALPINE = {
    "etc/alpine-release": "3.19.1\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/ash\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    "etc/group": "root:x:0:root\ntty:x:5:\n",
    "etc/shadow": "root:*::0:::::\n",
    "etc/profile": (
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        "PS1='\\h:\\w\\$ '\n"
        "for script in /etc/profile.d/*.sh; do [ -r $script ] && . $script; done\n"
    ),
    "etc/profile.d/README": "Read by /etc/profile.\n",
}
ENVIRONMENT = ["ENV PATH=/opt/tools/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV IMAGE_SAYS=hello"]
OPINIONS = [
    "USER 99",
    "WORKDIR /tmp",
    "VOLUME /data",
    'ENTRYPOINT ["/bin/sh", "-c"]',
    'CMD ["echo $(id -u) in $PWD says $IMAGE_SAYS >>/tmp/ran; exec sleep 1000"]',
]
OPENSSH_PROGRAMS = ("/usr/sbin/sshd", "/usr/bin/ssh-keygen")
OPENSSH_HELPERS = ("/usr/lib/openssh/sshd-session", "/usr/lib/openssh/sshd-auth")
DROPBEAR_PROGRAMS = ("/usr/sbin/dropbear", "/usr/bin/dropbearkey")


def tag(kind: Kind = "openssh") -> str:
    """Name of the image of this kind; ``spotyard-test:<version>`` is the OpenSSH one."""
    return f"spotyard-test:{VERSION}" if kind == "openssh" else f"spotyard-test:{VERSION}-{kind}"


def build(kind: Kind = "openssh", client: docker.DockerClient | None = None) -> str:
    """Make sure the engine has the image; returns its tag. Raises ``RuntimeError`` where it can't be built here."""
    engine = client or docker.from_env()
    name = tag(kind)
    if not engine.api.images(name=name, quiet=True):  # one question: other tests' images come and go
        with tempfile.TemporaryDirectory() as scratch:
            content = _tar(kind, Path(scratch))
        repository, version = name.split(":")
        changes = [*ENVIRONMENT, f"LABEL {LENT_LABEL}=spotyard-test"] + (OPINIONS if kind == "opinionated" else [])
        engine.api.import_image_from_data(content, repository=repository, tag=version, changes=changes)
    return name


def _tar(kind: Kind, scratch: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        if kind == "shellonly":
            _add_shell(archive)
        else:
            _add_busybox(archive, scratch, shell=kind != "noshell")
        if kind in ("openssh", "opinionated"):
            _add_programs(archive, *_openssh(scratch))
        elif kind == "dropbear":
            _add_programs(archive, *_dropbear(scratch))
        elif kind == "alpine":
            _add_musl(archive, scratch)
        elif kind == "brokensshd":
            _add_bytes(archive, "usr/sbin/sshd", b"#!/bin/sh\nexit 1\n", 0o755)
        for name, text in _accounts(kind).items():
            _add_bytes(archive, name, text.encode(), 0o644)
        for directory, mode in {"tmp": 0o1777, "root": 0o700, "run/sshd": 0o755, "var/log": 0o755}.items():
            _add_directory(archive, directory, mode)
    return buffer.getvalue()


def _add_busybox(archive: tarfile.TarFile, scratch: Path, *, shell: bool) -> None:
    busybox = _unpack(["busybox-static"], scratch) / "bin/busybox"
    _add_bytes(archive, "bin/busybox", busybox.read_bytes(), 0o755)
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets if shell else ("true", "sleep"):
        link = tarfile.TarInfo(f"bin/{applet}")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        if applet != "busybox":
            archive.addfile(link)


def _accounts(kind: Kind) -> dict[str, str]:
    """Files in /etc by their names."""
    if kind == "shellonly":
        return {}
    if kind == "alpine":
        return ALPINE
    return {"etc/passwd": PASSWD, "etc/group": GROUP, "etc/shadow": SHADOW}


def _add_shell(archive: tarfile.TarFile) -> None:
    """This machine's own plain shell, as /bin/sh."""
    shell = str(Path("/bin/sh").resolve())
    _add_programs(archive, Path("/"), [shell])
    link = tarfile.TarInfo("bin/sh")
    link.type, link.linkname = tarfile.SYMTYPE, shell
    archive.addfile(link)


def _add_musl(archive: tarfile.TarFile, scratch: Path) -> None:
    """The C library, under both of its names."""
    library = next(_unpack(["musl"], scratch).glob("lib/*-linux-musl/libc.so"))
    _add_bytes(archive, f"lib/ld-musl-{platform.machine()}.so.1", library.read_bytes(), 0o755)


def _openssh(scratch: Path) -> tuple[Path, list[str]]:
    """The OpenSSH server and key generator, from this machine where installed, else from Debian's packages."""
    root = Path("/")
    if not all(Path(program).exists() for program in OPENSSH_PROGRAMS):
        root = _unpack([*_library_closure("openssh-server"), "openssh-server", "openssh-client"], scratch)
    names = (*OPENSSH_PROGRAMS, *OPENSSH_HELPERS)
    return root, [name for name in names if (root / name.lstrip("/")).exists()]


def _dropbear(scratch: Path) -> tuple[Path, list[str]]:
    return _unpack([*_library_closure("dropbear-bin"), "dropbear-bin"], scratch), list(DROPBEAR_PROGRAMS)


def _library_closure(package: str) -> list[str]:
    """Names of all library packages that ``package`` depends on, directly or not."""
    options = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    command = ["apt-cache", "depends", "--recurse", *options, package]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return sorted(set(re.findall(r"^(lib[a-z0-9.+-]+|zlib1g)$", output, re.MULTILINE)))


def _unpack(packages: Iterable[str], scratch: Path) -> Path:
    """Download Debian packages and unpack them all into one tree (kept within ``scratch``)."""
    if shutil.which("apt-get") is None:
        raise RuntimeError("the test images are made from Debian packages, and this machine has no apt-get")
    names = list(packages)
    root = scratch / "root"
    downloads = Path(tempfile.mkdtemp(dir=scratch))
    done = subprocess.run(["apt-get", "-q", "download", *names], cwd=downloads, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"apt-get download {' '.join(names)} failed: {done.stderr.strip()}")
    for archive in downloads.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, root], check=True)
    return root


def _add_programs(archive: tarfile.TarFile, root: Path, programs: list[str]) -> None:
    """Add programs found below ``root`` at their places, with the shared libraries they need."""
    libraries: dict[str, Path] = {}
    for name in programs:
        program = root / name.lstrip("/")
        _add_bytes(archive, name.lstrip("/"), program.read_bytes(), 0o755)
        libraries |= dict(_libraries(program, root))
    for name, path in libraries.items():
        _add_bytes(archive, name.lstrip("/"), path.read_bytes(), 0o755)


def _libraries(program: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Where a loader looks for each library the program needs, and the file to take it from."""
    unpacked = [*root.glob("lib/*-linux-gnu"), *root.glob("usr/lib/*-linux-gnu")] if root != Path("/") else []
    environment = {"LD_LIBRARY_PATH": ":".join(map(str, unpacked))} if unpacked else {}
    output = subprocess.run(["ldd", program], check=True, capture_output=True, text=True, env=environment).stdout
    if "not found" in output:
        raise RuntimeError(f"{program} needs libraries that are missing here:\n{output}")
    for soname, found in re.findall(r"(\S+)(?: => (\S+))? \(0x", output):
        path = Path(found or soname)
        if path.is_absolute():
            yield (soname if soname.startswith("/") else f"/lib/{soname}"), path


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    archive.addfile(info, io.BytesIO(data))


def _add_directory(archive: tarfile.TarFile, name: str, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    archive.addfile(info)
