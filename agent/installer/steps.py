"""What an installation consists of. Each step says what there is to do, and does it; done again it does nothing."""

from __future__ import annotations

import shutil
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, NamedTuple

from agent.installer import launch, python, service, toolkit
from agent.installer.checks import engine_directory, engine_kind
from agent.installer.layout import SERVICE, Layout
from agent.installer.manifest import Manifest
from agent.installer.system import CHANGE_SECONDS, InstallError, change, has, run, write
from agent.installer.versions import Bundle, make_version, require_options, works
from agent.installer.words import say

_PROGRAMS = {
    "nft": "nftables",
    "ssh": "openssh-client",
    "openssl": "openssl",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
}
"""What the agent calls, and the packages that have it."""
_KEY = "usr/share/keyrings/spotyard-nvidia-container-toolkit.asc"
_SOURCE = "etc/apt/sources.list.d/spotyard-nvidia-container-toolkit.list"
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300")
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
_FETCH_SECONDS = 30.0


@dataclass
class Setup:
    """One installation: what is wanted, and where. ``options`` are the agent's, each as --name=value."""

    site: str
    layout: Layout
    manifest: Manifest
    bundle: Bundle
    options: tuple[str, ...] = ()
    simulated: bool = False
    token: str = ""


class Step(NamedTuple):
    """``plan`` says what is to be done, empty where nothing is."""

    plan: Callable[[Setup], str]
    do: Callable[[Setup], None]


def plan_packages(setup: Setup) -> str:
    missing = _missing(setup)
    return "install with apt: {}".format(" ".join(missing)) if missing else ""


def _missing(_setup: Setup) -> list[str]:
    wanted = [package for program, package in _PROGRAMS.items() if not has(program)]
    wanted += python.missing_packages(python.system_python())
    if engine_kind() == "absent":
        wanted.append("docker.io")
    if not Path("/etc/ssl/certs/ca-certificates.crt").exists():
        wanted.append("ca-certificates")
    return wanted


def bring_packages(setup: Setup) -> None:
    missing = _missing(setup)
    before = run(["getent", "group", "docker"]).ok
    setup.manifest.bring(lambda: _apt(missing))
    if not before and run(["getent", "group", "docker"]).ok:
        setup.manifest.groups.append("docker")
        setup.manifest.save()


def _apt(packages: list[str]) -> None:
    """Some source of the host's may be out of order: that matters only where something can't be installed."""
    read = run([*_APT, "update", "-q"], CHANGE_SECONDS, _QUIET)
    command = [*_APT, "install", "--yes", "-q", "--no-install-recommends", *packages]
    try:
        change(command, "Installing {}".format(" ".join(packages)), _QUIET)
    except InstallError as error:
        if read.ok:
            raise
        raise InstallError(f"{error}\nBefore that, apt-get update failed: {read.last_words}") from error


def plan_engine(_setup: Setup) -> str:
    return "" if engine_kind() in ("docker", "absent") else "start Docker, now and with the machine"


def start_engine(_setup: Setup) -> None:
    change(["systemctl", "enable", "--now", "docker"], "Starting Docker")
    if engine_kind() != "docker":
        raise InstallError("Docker does not answer. See: journalctl -u docker -n 50")


def plan_toolkit(setup: Setup) -> str:
    if setup.simulated:
        return ""
    if not toolkit.program():
        return "install NVIDIA's container toolkit from NVIDIA's package repository"
    version = toolkit.version()
    if toolkit.is_safe(version):
        return ""
    return f"upgrade NVIDIA's container toolkit {version}: guests can break out of this one"


def bring_toolkit(setup: Setup) -> None:
    """One that is there already Docker knows, and its programs are called anew for each container."""
    if not toolkit.program():
        setup.manifest.blind_engine = toolkit.engine_run(setup.layout)
        setup.manifest.save()
    _add_repository(setup)
    setup.manifest.bring(lambda: _apt(list(toolkit.PACKAGES)))
    version = toolkit.version()
    if not toolkit.is_safe(version):
        raise InstallError(
            f"NVIDIA's container toolkit is {version or 'unknown'} still, and has to be {toolkit.LEAST} or newer: "
            "guests can break out of it. Look for a copy that apt did not install, or packages that apt-mark holds."
        )


def _add_repository(setup: Setup) -> None:
    """Not beside one of the host's own, whose key may lie elsewhere: apt refuses to work then."""
    key, source = setup.layout.root / _KEY, setup.layout.root / _SOURCE
    if toolkit.is_in_sources(setup.layout.root, source):
        return
    for path in (key, source):
        setup.manifest.add_file(path)
    write(key, _fetched(toolkit.REPOSITORY + "/gpgkey"))
    write(source, f"deb [signed-by=/{_KEY}] {toolkit.REPOSITORY}/stable/deb/$(ARCH) /\n")


def plan_restart(setup: Setup) -> str:
    """Docker looks for the toolkit when it starts. One that began before that came launches no guest with GPUs."""
    coming = not setup.simulated and not toolkit.program()
    if not coming and setup.manifest.blind_engine != toolkit.engine_run(setup.layout):
        return ""
    ends = toolkit.restart_ends()
    waits = f"; not while that would end containers, of which {ends} run here" if ends else ""
    return f"restart Docker, so that it finds NVIDIA's container toolkit{waits}"


def restart_engine(setup: Setup) -> None:
    """Somebody's containers are not ended for it: the installation ends here then, before the machine is registered."""
    ends = toolkit.restart_ends()
    if ends:
        raise InstallError(
            f"Docker finds NVIDIA's container toolkit only when it starts, and a restart would end {ends} containers "
            "that run here. Restart it when that suits, with systemctl restart docker. Then run this again."
        )
    change(["systemctl", "restart", "docker"], "Restarting Docker")
    setup.manifest.blind_engine = None
    setup.manifest.save()


def _fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=_FETCH_SECONDS) as answer:  # noqa: S310 - addresses of ours
            return str(answer.read(1 << 20).decode())
    except (OSError, ValueError) as error:
        raise InstallError(f"{url} can't be fetched: {error}") from error


def plan_python(setup: Setup) -> str:
    if python.system_python() or python.fetched_python(setup.layout):
        return ""
    return "fetch a Python of its own into {}: the system's is older than {}.{}".format(setup.layout.opt, *python.LEAST)


def bring_python(setup: Setup) -> None:
    python.fetch_python(setup.layout)


def plan_version(setup: Setup) -> str:
    target = setup.layout.versions / setup.bundle.version
    return "" if works(target) else f"install the agent, version {setup.bundle.version}, into {target}"


def bring_version(setup: Setup) -> None:
    chosen = python.system_python() or python.fetched_python(setup.layout)
    if chosen is None:
        raise InstallError("There is no Python {}.{} or newer for the agent.".format(*python.LEAST))
    require_options(make_version(setup.bundle, setup.layout.versions, chosen), setup.layout.config)


def _files(setup: Setup) -> list[tuple[Path, str, int]]:
    layout = setup.layout
    launcher = Path(launch.__file__).read_text()
    unit = service.unit(layout, setup.site, shutil.which("python3") or sys.executable, engine_directory(layout.root))
    old = layout.config.read_text() if layout.config.exists() else service.config(())
    return [
        (layout.launcher, launcher, 0o755),
        (layout.command, service.command(layout), 0o755),
        (layout.unit, unit, 0o644),
        (layout.config, service.merged(old, setup.options), 0o600),
    ]


def plan_files(setup: Setup) -> str:
    changed = [str(path) for path, text, _ in _files(setup) if not path.is_file() or path.read_text() != text]
    return "write {}".format(", ".join(changed)) if changed else ""


def write_files(setup: Setup) -> None:
    for directory in (setup.layout.etc, setup.layout.var, setup.layout.log):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
    for path, text, mode in _files(setup):
        write(path, text, mode)


def plan_service(_setup: Setup) -> str:
    return f"start the agent as the service {SERVICE}, now and with the machine"


def start_service(setup: Setup) -> None:
    """What ran well before comes back by itself where the new version does not work."""
    version = setup.bundle.version
    if setup.token:
        write(setup.layout.token, setup.token + "\n", 0o600)

    def choose(state: launch.LaunchState) -> launch.LaunchState:
        has_good = state.good in launch.installed_versions(setup.layout.opt)
        return launch.tried(launch.LaunchState(good=state.good if has_good else version), version)

    launch.change_state(setup.layout.launch_state, choose)
    change(["systemctl", "daemon-reload"], "Reading the new unit")
    change(["systemctl", "enable", SERVICE], "Enabling the service")
    change(["systemctl", "restart", SERVICE], "Starting the service")


STEPS = (
    Step(plan_packages, bring_packages),
    Step(plan_engine, start_engine),
    Step(plan_toolkit, bring_toolkit),
    Step(plan_restart, restart_engine),
    Step(plan_python, bring_python),
    Step(plan_version, bring_version),
    Step(plan_files, write_files),
    Step(plan_service, start_service),
)


def carry_out(setup: Setup, *, dry: bool) -> None:
    """Do all that is to be done, or only tell it. Raises ``InstallError``."""
    for step in STEPS:
        what = step.plan(setup)
        if what:
            say("{} {}".format("would" if dry else "-->", what))
            if not dry:
                step.do(setup)
