"""Starts the agent's version that is to run; what systemd calls. The installer copies this file out of the bundle.

It must go on working whatever a new version of the agent does, so it stands alone: the standard library, Python 3.8.

A new version is on *trial* until it has confirmed itself (``agent.upkeep.updater``). It may be started a few times;
when it ends each time, or has not confirmed itself within its time though the marketplace answers, the version before
it runs again and this one is noted as failed. Whoever runs this file becomes the agent, so systemd watches the agent
itself; a version on trial runs below it, as systemd would not start again what ended with certain codes.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Callable, Collection, Iterator

STATE_VARIABLE = "SPOTYARD_LAUNCH_STATE"
"""Tells the agent that it was started from here, and so that it may replace itself."""
ROOT_VARIABLE = "SPOTYARD_ROOT"

FINAL_CODES = (2, 3)
"""With these an agent is not started again: the marketplace does not know the machine (any more)."""
MOST_STARTS = 3
TRIAL_SECONDS = 600.0
LONGEST_TRIAL_SECONDS = 4 * 3600.0
"""Even if the marketplace can't be reached from here all that time: the version may be the reason."""
_ANSWER_SECONDS = 20.0
_LOOK_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1


class LaunchError(Exception):
    """Nothing can be started; says what to do."""


@dataclass(frozen=True)
class Places:
    """As in ``agent.installer.layout``, which this file can't import. ``root`` is another than / in tests only."""

    root: Path = Path("/")

    @property
    def opt(self) -> Path:
        return self.root / "opt/spotyard"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/spotyard/launch.json"

    @property
    def config(self) -> Path:
        return self.root / "etc/spotyard/agent.conf"

    @property
    def token(self) -> Path:
        return self.root / "etc/spotyard/token"


@dataclass(frozen=True)
class LaunchState:
    """``good`` is what ran well last; ``trial`` is empty or what is being tried, ``starts`` how often it was started.

    ``failed`` is what was given up last, and ``why``: it is not tried again.
    """

    good: str = ""
    trial: str = ""
    starts: int = 0
    failed: str = ""
    why: str = ""


def decide(state: LaunchState, installed: Collection[str]) -> tuple[str, LaunchState]:
    """The version to start now, and the state to write down before. Raises ``LaunchError``.

    ``installed`` are those on the disk, the newest last: of them one runs even if what was written down is lost.
    """
    if state.trial and state.trial not in installed:
        state = given_up(state, "it is not complete on the disk")
    if state.trial and state.starts >= MOST_STARTS and state.good in installed:
        state = given_up(state, f"it ended {state.starts} times before it had spoken with the marketplace")
    if state.trial:
        return state.trial, replace(state, starts=state.starts + 1)
    if state.good in installed:
        return state.good, state
    left = [version for version in installed if version != state.failed] or list(installed)
    if not left:
        raise LaunchError("No version of the agent is complete on the disk: run the marketplace's installer again.")
    return left[-1], replace(state, good=left[-1])


def tried(state: LaunchState, version: str) -> LaunchState:
    """This version is to run from the next start on: what ran well at once, another on trial.

    Nothing changes where it failed before, or is on trial already.
    """
    if version in (state.failed, state.trial):
        return state
    return replace(state, trial="" if version == state.good else version, starts=0)


def confirmed(state: LaunchState, version: str) -> LaunchState:
    """This version works: it is what runs from now on."""
    if version != state.trial:
        return state
    return replace(state, good=version, trial="", starts=0)


def given_up(state: LaunchState, why: str) -> LaunchState:
    """The trial is over and the version before is to run again."""
    return replace(state, trial="", starts=0, failed=state.trial, why=why)


def refused(state: LaunchState, version: str, why: str) -> LaunchState:
    """This version can't even be started here."""
    trial = "" if state.trial == version else state.trial
    return replace(state, trial=trial, failed=version, why=why)


def read_state(path: Path) -> LaunchState:
    """What is written down; an empty state where that is nothing, or nothing that makes sense."""
    try:
        told = json.loads(path.read_text())
        known = {name: told[name] for name in asdict(LaunchState()) if name in told}
        state = LaunchState(**known)
    except (OSError, ValueError, TypeError):
        return LaunchState()
    texts = (state.good, state.trial, state.failed, state.why)
    return state if all(isinstance(text, str) for text in texts) and isinstance(state.starts, int) else LaunchState()


def change_state(path: Path, change: Callable[[LaunchState], LaunchState]) -> LaunchState:
    """Read, change and write down, while nobody else does; on the disk when this returns."""
    with _alone(path):
        before = read_state(path)
        after = change(before)
        if after != before:
            _write(path, json.dumps(asdict(after)))
        return after


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(str(path.with_name(path.name + ".lock")), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(path.name + ".new")
    with open(str(scratch), "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def installed_versions(root: Path) -> list[str]:
    """Those that are complete, the newest last: what is being made has another name until it is."""
    complete = [path for path in (root / "versions").glob("*") if not path.name.startswith(".")]
    return [path.name for path in sorted(complete, key=lambda path: (path.stat().st_mtime, path.name))]


def point_at(root: Path, version: str) -> None:
    """Let ``current`` lead to this version."""
    link, scratch = root / "current", root / ".current.new"
    target = f"versions/{version}"
    if link.is_symlink() and os.readlink(str(link)) == target:
        return
    if scratch.is_symlink():
        scratch.unlink()
    scratch.symlink_to(target)
    scratch.replace(link)


def command(places: Places, version: str) -> list[str]:
    """What the agent is started with."""
    python = places.opt / "versions" / version / "venv/bin/python"
    options = [f"@{places.config}"] + (["--token-file", str(places.token)] if places.token.exists() else [])
    return [str(python), "-m", "agent", *options]


def site_answers(config: Path) -> bool:
    """Whether the marketplace that the agent's options name answers this machine now."""
    options = dict(line.strip().partition("=")[::2] for line in config.read_text().splitlines())
    site, authorities = options.get("--server", "").rstrip("/"), options.get("--ca-file") or None
    try:
        secure = ssl.create_default_context(cafile=authorities)
        url = site + "/healthz/"
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS, context=secure) as answer:  # noqa: S310 - the host's
            answer.read(1)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False
    return True


def watch_trial(path: Path, version: str, seconds: float, answers: Callable[[], bool] = lambda: True) -> None:
    """End this process, which becomes the agent, if the version has not confirmed itself by then.

    The time does not count while the marketplace does not answer, as ``answers`` finds out.

    A process of its own does that, which depends on nothing that the new version is made of.
    """
    agent = os.getpid()
    born = _born(agent)
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.environ.pop("NOTIFY_SOCKET", None)
    try:
        _guard(path, version, lambda: _born(agent) == born, seconds, answers)
        after = read_state(path)
        if after.trial != version and after.failed == version and _born(agent) == born:
            os.kill(agent, signal.SIGKILL)
    finally:
        os._exit(0)


def _guard(
    path: Path, version: str, is_running: Callable[[], bool], seconds: float, answers: Callable[[], bool]
) -> None:
    """Give the version up when its time is over: when the marketplace answered at both ends of a period that it did not
    speak with it. At the beginning it did, as it offered this version."""
    began, answered = time.monotonic(), True
    while True:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(min(_LOOK_SECONDS, seconds))
            if read_state(path).trial != version or not is_running():
                return
        before, answered = answered, answers()
        if (before and answered) or time.monotonic() - began > LONGEST_TRIAL_SECONDS:
            break
    why = f"it did not speak with the marketplace for {seconds / 60:.0f} minutes"
    change_state(path, lambda state: given_up(state, why) if state.trial == version else state)


def _born(pid: int) -> str:
    """When the process began, in ticks: a number that comes again is another process. Empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def prepare(places: Places) -> tuple[str, bool]:
    """Choose the version, write that down, and let ``current`` lead to it; whether it is on trial.

    Where nothing can be written, what ran well runs on: a trial has to be counted. Raises ``LaunchError``.
    """
    installed = installed_versions(places.opt)
    try:
        state = change_state(places.state, lambda before: decide(before, installed)[1])
    except OSError as error:
        sys.stderr.write(f"spotyard-agent-launch: {error}; no new version is tried\n")
        state = decide(replace(read_state(places.state), trial=""), installed)[1]
    version = state.trial or state.good
    with suppress(OSError):  # only people look there
        point_at(places.opt, version)
    return version, bool(state.trial)


def main(places: Places) -> int:
    """Become the agent; returns only where that is not possible."""
    try:
        version, on_trial = prepare(places)
        sys.stderr.write("spotyard-agent-launch: version {}{}\n".format(version, " on trial" if on_trial else ""))
        sys.stderr.flush()
        if on_trial:
            watch_trial(places.state, version, TRIAL_SECONDS, lambda: site_answers(places.config))
        os.environ.update({STATE_VARIABLE: str(places.state), ROOT_VARIABLE: str(places.opt)})
        # Python looks for modules where it is started, first.
        os.chdir(str(places.opt / "versions" / version / "spotyard-agent"))
        arguments = command(places, version)
        if on_trial:
            return restartable(run_below(arguments), places.state, version)
        os.execv(arguments[0], arguments)
    except (LaunchError, OSError) as error:
        sys.stderr.write(f"spotyard-agent-launch: {error}\n")
    return 1


def run_below(arguments: list[str]) -> int:
    """Run a program that gets the signals that come here and never outlives this process; its exit status."""
    awaited = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    own = os.getpid()
    child = os.fork()
    if child == 0:
        _become(arguments, own, awaited)
    while True:
        number = signal.sigwait(awaited)
        if number != signal.SIGCHLD:
            os.kill(child, number)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _become(arguments: list[str], parent: int, blocked: Collection[signal.Signals]) -> None:
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
            if "WATCHDOG_PID" in os.environ:
                os.environ["WATCHDOG_PID"] = str(os.getpid())
            os.execv(arguments[0], arguments)
    finally:
        os._exit(127)


def restartable(code: int, path: Path, version: str) -> int:
    """The exit status for systemd: what a version says that has not confirmed itself is no reason to stay away."""
    return 1 if code in FINAL_CODES and read_state(path).trial == version else code


if __name__ == "__main__":
    sys.exit(main(Places(*map(Path, sys.argv[1:2]))))
