#!/usr/bin/env python3
"""Stands for systemctl in a container without systemd: one service, started again as its unit says, with a socket for
sd_notify whose messages are noted. It knows the few words that the installer uses, and stays out of everything else."""

import functools
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

RUN = Path("/run/fake-systemd")


def settings(unit: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in unit.read_text().splitlines() if "=" in line and line[0] != "#")
    return {name: value for name, _, value in pairs}


def supervise(name: str) -> None:
    """The service's own process, until SIGTERM."""
    known = settings(Path("/etc/systemd/system") / name)
    address = RUN / f"{name}.notify"
    address.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(address))
    listener.setblocking(False)
    final = {int(code) for code in known.get("RestartPreventExitStatus", "").split()}
    environment = os.environ | {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": f"{known['WatchdogSec']}000000"}
    while True:
        process = subprocess.Popen(shlex.split(known["ExecStart"]), env=environment)
        signal.signal(signal.SIGTERM, functools.partial(end, process))
        while process.poll() is None:
            time.sleep(0.1)
            note(listener, name)
        with (RUN / f"{name}.exits").open("a") as exits:
            exits.write(f"{process.returncode}\n")
        if process.returncode in final:
            return
        time.sleep(0.2)


def note(listener: socket.socket, name: str) -> None:
    try:
        told = listener.recv(4096).decode()
    except BlockingIOError:
        return
    with (RUN / f"{name}.told").open("a") as file:
        file.write(f"{told}\n")


def end(process: "subprocess.Popen[bytes]", *_: object) -> None:
    process.terminate()
    process.wait(30)
    sys.exit(0)


def stop(name: str) -> None:
    pid_file = RUN / f"{name}.pid"
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    try:
        os.kill(pid, signal.SIGTERM)
        while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
            time.sleep(0.05)
    except (ProcessLookupError, FileNotFoundError):
        pass
    pid_file.unlink()


def start(name: str) -> None:
    with (RUN / f"{name}.log").open("ab") as log:
        process = subprocess.Popen([__file__, "supervise", name], stdout=log, stderr=log, start_new_session=True)
    (RUN / f"{name}.pid").write_text(str(process.pid))


def main() -> int:
    RUN.mkdir(exist_ok=True)
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    with (RUN / "calls").open("a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\n")
    verb, names = words[0], [word for word in words[1:] if word.startswith("spotyard")]
    for name in names:
        if verb == "supervise":
            supervise(name)
        if verb in ("stop", "restart") or (verb == "disable" and "--now" in sys.argv):
            stop(name)
        if verb in ("start", "restart"):
            start(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
