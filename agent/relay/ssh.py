"""The system's ssh, run in a directory of its own with nothing but our options.

Its control socket is named relative to that directory, because a socket's path may have a hundred characters only and
state directories may be anywhere. The ssh that holds the connection outlives the agent, as clients' sessions use it.
"""

import re
import shutil
import subprocess
from pathlib import Path

from agent.protocol import RelayForward, RelayOrder
from agent.tasks.memory import write_durably

PROGRAMS = ("ssh", "ssh-keygen")
REMEDY = "Install it with apt-get install openssh-client."
_ALIAS = "relay"
_COMMAND_SECONDS = 20.0
_OPTIONS = (
    "BatchMode=yes",
    "Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com",
    "Compression=no",
    "ConnectTimeout=10",
    "ControlPath=ctl",
    "ControlPersist=no",
    "ExitOnForwardFailure=no",
    "GlobalKnownHostsFile=/dev/null",
    f"HostKeyAlias={_ALIAS}",
    "HostKeyAlgorithms=ssh-ed25519",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "IdentityFile=key",
    "LogLevel=ERROR",
    "PreferredAuthentications=publickey",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "UserKnownHostsFile=known_hosts",
)


def missing() -> list[str]:
    """The programs that the relay needs and this machine lacks."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


class SshFailedError(Exception):
    """ssh did not do it; says what it said."""


class RelaySsh:
    """ssh in the directory ``home``, which is made if missing."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def public_key(self) -> str:
        """The public half of this machine's key, made at the first call. Raises SshFailedError."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        private, public = self.home / "key", self.home / "key.pub"
        if not private.exists() or not public.exists():
            for leftover in self.home.glob("new*"):
                leftover.unlink()
            self._run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "spotyard", "-f", "new"])
            (self.home / "new.pub").replace(public)
            (self.home / "new").replace(private)
        return public.read_text().strip()

    def start(self, order: RelayOrder) -> "subprocess.Popen[bytes]":
        """Begin to log in. ``running_pid`` says when that is done."""
        (self.home / "ctl").unlink(missing_ok=True)
        write_durably(self.home / "known_hosts", f"{_ALIAS} {order.host_key}\n".encode())
        command = [*_ssh(order), "-N", "-T", "-o", "ControlMaster=yes", "--", order.host]
        with (self.home / "ssh.log").open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def last_words(self) -> str:
        """What the ssh that was started last complained about."""
        try:
            lines = (self.home / "ssh.log").read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def running_pid(self, order: RelayOrder) -> int | None:
        """The process that holds the connection, whoever started it; None where none is logged in."""
        if not (self.home / "ctl").exists():
            return None
        try:
            told = self._control(order, "check")
        except SshFailedError:
            return None
        match = re.search(r"pid=(\d+)", told)
        return int(match[1]) if match else None

    def exit(self, order: RelayOrder) -> None:
        """End the connection, if there is one."""
        if (self.home / "ctl").exists():
            try:
                self._control(order, "exit")
            except SshFailedError:
                (self.home / "ctl").unlink(missing_ok=True)

    def forward(self, order: RelayOrder, forward: RelayForward) -> None:
        """Raises SshFailedError where the relay does not give the port."""
        self._control(order, "forward", *_reverse(forward))

    def cancel(self, order: RelayOrder, forward: RelayForward) -> None:
        """Raises SshFailedError."""
        self._control(order, "cancel", *_reverse(forward))

    def _control(self, order: RelayOrder, wish: str, *arguments: str) -> str:
        return self._run([*_ssh(order), "-O", wish, *arguments, "--", order.host])

    def _run(self, command: list[str]) -> str:
        try:
            done = subprocess.run(
                command,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_COMMAND_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SshFailedError(f"{command[0]} could not be run: {error}") from error
        told = f"{done.stdout}{done.stderr}".strip()
        if done.returncode != 0:
            raise SshFailedError(told or f"{command[0]} ended with status {done.returncode}")
        return told


def _ssh(order: RelayOrder) -> list[str]:
    options = [part for option in _OPTIONS for part in ("-o", option)]
    return ["ssh", "-F", "none", *options, "-p", str(order.port), "-l", order.user]


def _reverse(forward: RelayForward) -> list[str]:
    return ["-R", f"*:{forward.relay_port}:127.0.0.1:{forward.host_port}"]


def is_running(pid: int) -> bool:
    """Whether the process is there, and not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")
