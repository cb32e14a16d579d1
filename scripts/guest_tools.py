"""The guest tools: programs that every container in ssh mode finds in /.spotyard/tools, whatever its image lacks.

    python -m scripts.guest_tools            make sure that this machine's bundle lies in var/cache; prints its path
    python -m scripts.guest_tools FOLDER     the same in another folder
    python -m scripts.guest_tools --fresh    make it anew, from the packages as they are today

Made of Debian packages, which are fetched with apt-get and unpacked, never installed. A bundle brings its own C library
and loader, so it runs on top of any image of the same architecture. Programs are started by short shell scripts in
``bin``, because a program that is started by another loader than its own has to be told so.
"""

import fcntl
import gzip
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.services.launching import ServiceError

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "var" / "cache"
RECIPE = 1
"""Count up when the recipe below changes: the file's name tells old bundles from new ones."""
PLACE = "/.spotyard/tools"
"""Where containers have it: its programs look for each other there."""

PROGRAMS = {
    "sshd": "usr/sbin/sshd",
    "sftp-server": "usr/lib/openssh/sftp-server",
    "ssh": "usr/bin/ssh",
    "ssh-keygen": "usr/bin/ssh-keygen",
    "scp": "usr/bin/scp",
    "sftp": "usr/bin/sftp",
    "rsync": "usr/bin/rsync",
    "curl": "usr/bin/curl",
    "tmux": "usr/bin/tmux",
}
NEWER_PROGRAMS = {"sshd-session": "usr/lib/openssh/sshd-session", "sshd-auth": "usr/lib/openssh/sshd-auth"}
"""Parts that the SSH server is divided into from OpenSSH 9.8 on."""
_PACKAGES = ("openssh-server", "openssh-client", "openssh-sftp-server", "rsync", "curl", "tmux")
_DATA_PACKAGES = ("ncurses-base", "ncurses-term", "ca-certificates", "libc-bin", "busybox-static")
_APPLETS = "cat chmod cp cut env grep head hostname id ln ls mkdir mv ps rm sed sleep tail tr tty wc"
"""What the agent's scripts need, for images that have a shell and little else."""
_TERMINALS = re.compile(
    r"(?:xterm|screen|tmux|rxvt|vt1|vt2|linux|ansi|dumb|putty|konsole|gnome|alacritty|kitty|foot|iterm|nsterm|st$|st-|vte|cygwin|mintty|eterm)"
)
_WRAPPER = """#!/bin/sh
{settings}exec {place}/lib/{loader} --inhibit-cache --library-path {place}/lib \\
    --argv0 {place}/bin/{name} {place}/libexec/{name}{options} "$@"
"""
# A library that the client has preloaded into everything is made for the image's C library, not for this one.
_CLEAN = "unset LD_PRELOAD\n"
_SETTINGS = {
    "curl": _CLEAN + 'export CURL_CA_BUNDLE="${{CURL_CA_BUNDLE:-{place}/share/ca-certificates.crt}}"\n',
    # A server takes its locale from here; session.sh takes the variable away again from what runs in it.
    "tmux": 'export LOCPATH={place}/lib/locale\nexport TERMINFO_DIRS="${{TERMINFO_DIRS:-}}:{place}/share/terminfo"\n',
}


def bundle_name(arch: str) -> str:
    """File name of the bundle for what ``uname -m`` calls ``arch``."""
    return f"guest-tools-{arch}.tar.gz"


def ensure_bundle(cache: Path = CACHE, *, fresh: bool = False) -> Path:
    """Make sure that the bundle of this machine's architecture lies in ``cache``; its path. Raises ServiceError."""
    bundle = cache / bundle_name(platform.machine())
    stamp = bundle.with_suffix(".recipe")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "guest-tools.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        current = bundle.exists() and stamp.exists() and stamp.read_text() == str(RECIPE)
        if fresh or not current:
            _make(bundle)
            stamp.write_text(str(RECIPE))
    return bundle


def _make(bundle: Path) -> None:
    staging = bundle.with_suffix(".new")
    try:
        with tempfile.TemporaryDirectory(prefix="spotyard-tools-") as work:
            root = _unpacked(Path(work))
            staging.write_bytes(_packed(_Contents(root)))
        staging.replace(bundle)
    finally:
        staging.unlink(missing_ok=True)


def _unpacked(work: Path) -> Path:
    """One tree of all packages that are needed."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ServiceError("The guest tools are made of Debian packages, and this machine has no apt-get.")
    downloads, root = work / "packages", work / "root"
    downloads.mkdir()
    work.chmod(0o755)
    names = [*_PACKAGES, *_DATA_PACKAGES, *_libraries_of(_PACKAGES)]
    _run(["apt-get", "-q", "download", *names], downloads)
    for archive in sorted(downloads.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(archive), str(root)], work)
    return root


def _libraries_of(packages: Iterable[str]) -> list[str]:
    """Names of all library packages that the packages depend on, directly or not."""
    options = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    listed = _run(["apt-cache", "depends", "--recurse", *options, *packages], Path("/"))
    candidates = sorted(set(re.findall(r"^(lib[a-z0-9.+-]+|zlib1g)$", listed, re.MULTILINE)))
    # Virtual packages have no candidate and can't be fetched.
    known = _run(["apt-cache", "policy", *candidates], Path("/"))
    return re.findall(r"^(\S+):\n(?:  Installed: .*\n)  Candidate: (?!\(none\))", known, re.MULTILINE)


def _run(command: list[str], directory: Path) -> str:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"}
    )
    if done.returncode != 0:
        raise ServiceError(f"Making the guest tools: {' '.join(command[:3])} … failed:\n{done.stderr[-2000:]}")
    return done.stdout


@dataclass(frozen=True)
class _Contents:
    """What the tree of packages has for the bundle."""

    root: Path

    @property
    def loader(self) -> Path:
        """The C library's program loader."""
        found = [*self.root.glob("lib/*-linux-gnu/ld-linux*"), *self.root.glob("usr/lib/*-linux-gnu/ld-linux*")]
        if not found:
            raise ServiceError("Making the guest tools: the C library's package has no loader.")
        return found[0]

    def programs(self) -> dict[str, Path]:
        """Files of all programs by their names."""
        found = {name: self.root / place for name, place in PROGRAMS.items()}
        newer = {name: self.root / place for name, place in NEWER_PROGRAMS.items()}
        return found | {name: path for name, path in newer.items() if path.exists()}

    def libraries(self) -> dict[str, Path]:
        """Files of all libraries that the programs need, by the names they are asked for."""
        places = [*self.root.glob("lib/*-linux-gnu"), *self.root.glob("usr/lib/*-linux-gnu")]
        search = ":".join(str(place) for place in places)
        found: dict[str, Path] = {}
        for program in self.programs().values():
            listed = _run(
                [str(self.loader), "--inhibit-cache", "--library-path", search, "--list", str(program)], self.root
            )
            for name, path in re.findall(r"^\s*(\S+) => (\S+) \(0x", listed, re.MULTILINE):
                if not path.startswith(str(self.root)):
                    raise ServiceError(f"Making the guest tools: {program.name} needs {name}, which no package has.")
                found[name] = Path(path)
        found |= {path.name: path for place in places for path in place.glob("libgcc_s.so.1")}  # loaded by need
        return {name: path for name, path in found.items() if not name.startswith("ld-linux") and "/" not in name}

    def terminals(self) -> Iterator[tuple[str, Path]]:
        """Descriptions of the common terminals, by first letter and name."""
        for base in (self.root / "lib/terminfo", self.root / "usr/share/terminfo"):
            for path in sorted(base.glob("*/*")) if base.exists() else ():
                if _TERMINALS.match(path.name):
                    yield f"{path.parent.name}/{path.name}", path.resolve()

    def authorities(self) -> bytes:
        """Certificates of all public authorities, in one file."""
        files = sorted((self.root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
        return b"".join(path.read_bytes().strip() + b"\n" for path in files)


def _packed(contents: _Contents) -> bytes:
    """The same packages give the same bytes, so that a bundle's digest says what is in it."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|") as archive,
    ):
        for name, (data, mode) in sorted(dict(_files(contents)).items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
        for applet in _APPLETS.split():
            link = tarfile.TarInfo(f"applets/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "../bin/busybox"
            archive.addfile(link)
    return buffer.getvalue()


def _files(contents: _Contents) -> Iterator[tuple[str, tuple[bytes, int]]]:
    loader = contents.loader
    yield f"lib/{loader.name}", (loader.read_bytes(), 0o755)
    for name, path in contents.libraries().items():
        yield f"lib/{name}", (path.read_bytes(), 0o644)
    newer = any(name in contents.programs() for name in NEWER_PROGRAMS)
    for name, path in contents.programs().items():
        yield f"libexec/{name}", (path.read_bytes(), 0o755)
        yield f"bin/{name}", (_wrapper(name, loader.name, newer=newer).encode(), 0o755)
    yield "bin/busybox", ((contents.root / "bin/busybox").read_bytes(), 0o755)
    for path in sorted((contents.root / "usr/lib/locale/C.utf8").rglob("*")):
        if path.is_file():
            yield (
                f"lib/locale/C.utf8/{path.relative_to(contents.root / 'usr/lib/locale/C.utf8')}",
                (path.read_bytes(), 0o644),
            )
    for name, path in contents.terminals():
        yield f"share/terminfo/{name}", (path.read_bytes(), 0o644)
    yield "share/ca-certificates.crt", (contents.authorities(), 0o644)


def _wrapper(name: str, loader: str, *, newer: bool) -> str:
    settings = _SETTINGS.get(name, _CLEAN).format(place=PLACE)
    return _WRAPPER.format(
        place=PLACE, loader=loader, name=name, settings=settings, options=_options(name, newer=newer)
    )


def _options(name: str, *, newer: bool) -> str:
    """What the programs must be told so that they find each other here."""
    if name == "sshd":
        # Without -r an older server would start itself anew for each connection; a newer one has a program for that.
        parts = f" -o SshdSessionPath={PLACE}/bin/sshd-session -o SshdAuthPath={PLACE}/bin/sshd-auth"
        return parts if newer else " -r"
    if name in ("scp", "sftp"):
        return f" -S {PLACE}/bin/ssh"
    return ""


def digest_of(bundle: Path) -> str:
    """SHA-256 of a bundle, in hex."""
    return hashlib.sha256(bundle.read_bytes()).hexdigest()


def main() -> int:
    """The command line."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--fresh"]
    cache = Path(arguments[0]) if arguments else CACHE
    try:
        print(ensure_bundle(cache, fresh="--fresh" in sys.argv[1:]))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
