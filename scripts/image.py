"""The demo's container image, made from Debian packages: no image registry is asked.

    python -m scripts.image            make sure that the engine has it; prints its name
    python -m scripts.image early      only make its file system, unless an engine that runs has the image already
                                       (needs no engine and no package but Python)

The file system is kept under var/cache, so that a pruned engine or a new demo need not fetch the packages
again.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from agent.engine.labels import LENT_LABEL
from scripts.services.launching import ServiceError, launch_prefix

ROOT = Path(__file__).resolve().parent.parent
RECIPE = 2
"""Count up when the recipe below changes: the tag tells old images from new ones."""
REPOSITORY = "spotyard/demo"
IMAGE = f"{REPOSITORY}:{RECIPE}"

_SUITE = "bookworm"
_PACKAGES = [
    "openssh-server",
    "bash",
    "ca-certificates",
    "curl",
    "iproute2",
    "less",
    "nano",
    "procps",
    "python3",
    "rsync",
    "tmux",
]
_NOT_WANTED = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*"]
# Each container must make host keys of its own, and installing a package in it must not try to start
# services.
_CUSTOMISE = """
rm -f "$1"/etc/ssh/ssh_host_*
mkdir -p "$1"/run/sshd
printf '#!/bin/sh\\nexit 101\\n' > "$1"/usr/sbin/policy-rc.d
chmod 755 "$1"/usr/sbin/policy-rc.d
rm -f "$1"/etc/hostname "$1"/etc/resolv.conf
rm -rf "$1"/var/log/*.log "$1"/var/log/apt/*
"""


def ensure_image(cache: Path) -> str:
    """Make sure that the engine has the image; its name. Raises ServiceError."""
    if not is_present():
        tarball = ensure_tarball(cache)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        options = ["--change", 'CMD ["/bin/bash"]', "--change", f"ENV PATH={path}"]
        options += ["--change", f"LABEL {LENT_LABEL}={REPOSITORY}"]
        _run(["docker", "import", *options, str(tarball), IMAGE], f"importing {tarball} into the engine")
    return IMAGE


def is_present() -> bool:
    """Whether an engine runs and has the image."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode == 0


def ensure_tarball(cache: Path) -> Path:
    """Make sure that the image's file system lies in ``cache``; its path. Raises ServiceError."""
    tarball = cache / f"demo-image-{RECIPE}.tar"
    cache.mkdir(parents=True, exist_ok=True)
    # One maker at a time: the demo and a test run may want it at the same moment.
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tarball.exists():
            _make_tarball(tarball)
    return tarball


def _make_tarball(tarball: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise ServiceError("mmdebstrap is missing. On Debian or Ubuntu: scripts/bootstrap.sh --engine")
    staging = tarball.with_suffix(".new.tar")
    try:
        with tempfile.TemporaryDirectory(prefix="spotyard-image-") as work:
            # The packages' own scripts run as other users in there.
            Path(work).chmod(0o711)
            _run(_bootstrap_command(staging), "building the demo image from Debian packages", TMPDIR=work)
        staging.rename(tarball)
    finally:
        staging.unlink(missing_ok=True)


def _bootstrap_command(target: Path) -> list[str]:
    mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org")
    signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    options = ['--aptopt=Acquire::Languages "none"', "--dpkgopt=force-unsafe-io"]
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in _NOT_WANTED]
    options += [f"--include={','.join(_PACKAGES)}", f"--customize-hook={_CUSTOMISE}"]
    sources = [
        f"deb {signed} {mirror}/debian {_SUITE} main",
        f"deb {signed} {mirror}/debian {_SUITE}-updates main",
        f"deb {signed} {mirror}/debian-security {_SUITE}-security main",
    ]
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        "--skip=cleanup/run",
        *options,
        _SUITE,
        str(target),
        *sources,
    ]


def _run(command: list[str], doing: str, **environment: str) -> None:
    result = subprocess.run(
        [*launch_prefix(die_with_parent="TERM"), *command],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    if result.returncode != 0:
        raise ServiceError(f"{doing} failed (code {result.returncode}):\n{(result.stdout + result.stderr)[-3000:]}")


def main() -> int:
    """The command line."""
    cache = ROOT / "var" / "cache"
    try:
        if sys.argv[1:] != ["early"]:
            print(ensure_image(cache))
        elif not is_present():
            print(ensure_tarball(cache))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
