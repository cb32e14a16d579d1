"""The command line behind `make demo`, `make demo-stop` and `make demo-reset`."""

import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from scripts.demo.layout import ROOT, Layout
from scripts.demo.run import Demo, StopRequestedError, end_remains, raise_on_signals, relative, remove_data
from scripts.services.launching import ServiceError

STOP_TIMEOUT_SECONDS = 90
POLL_SECONDS = 0.1


def main() -> int:
    """Exit status 0 when the demo ran (or became ready, or ended) as asked."""
    arguments = _parser().parse_args()
    layout = Layout(arguments.port)
    layout.data.mkdir(parents=True, exist_ok=True)
    try:
        if arguments.action == "start":
            return _detach(layout, arguments.began) if arguments.detach else _foreground(layout, arguments.began)
        stopped = stop(layout)
        if arguments.action == "reset":
            remove_data(layout)
        print(_outcome(arguments.action, stopped=stopped))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _outcome(action: str, *, stopped: bool) -> str:
    if action == "reset":
        return "The demo's data is gone; make demo starts over."
    return "The demo has ended; its data stays." if stopped else "No demo runs."


def _foreground(layout: Layout, began: float) -> int:
    with take_lock(layout) as lock:
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "url": layout.url}))
        lock.flush()
        raise_on_signals()
        print("Starting Spotyard's demo" + (" (Ctrl-C ends it)" if sys.stdout.isatty() else ""), flush=True)
        try:
            Demo(layout, began).run()
        except StopRequestedError:
            print("\nThe demo has ended; its data stays. make demo-reset forgets it.")
    return 0


def _detach(layout: Layout, began: float) -> int:
    """Run the demo in a session of its own, show its progress, return when it is ready."""
    take_lock(layout).close()
    layout.announced.unlink(missing_ok=True)
    command = [sys.executable, "-m", "scripts.demo.cli", "start"]
    command += ["--port", str(layout.port), "--began", str(began)]
    log = layout.log("demo")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT, start_new_session=True
        )
    try:
        with log.open() as lines:
            return _follow(process, layout, lines)
    except KeyboardInterrupt:
        process.terminate()
        process.wait(timeout=STOP_TIMEOUT_SECONDS)
        print("\nThe demo has ended; its data stays.")
        return 130


def _follow(process: "subprocess.Popen[bytes]", layout: Layout, lines: IO[str]) -> int:
    while True:
        ended, announced = process.poll() is not None, layout.announced.exists()
        print(lines.read(), end="", flush=True)
        if ended:
            return process.returncode or 1
        if announced:
            print(f"\n  It runs in the background, log {relative(Path(lines.name))}. make demo-stop ends it.")
            return 0
        time.sleep(POLL_SECONDS)


def stop(layout: Layout) -> bool:
    """End a running demo and whatever a killed one left; whether one ran. Raises ServiceError."""
    pid = _holder(layout)
    if pid is None:
        end_remains(layout)
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while _holder(layout) is not None:
        if time.monotonic() > deadline:
            raise ServiceError(f"The demo (process {pid}) does not end; see {relative(layout.log('demo'))}")
        time.sleep(POLL_SECONDS)
    return True


def take_lock(layout: Layout) -> IO[str]:
    """The lock that one running demo holds; ServiceError, saying where it runs, when another does."""
    handle = layout.lock.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        running = json.loads(handle.read() or "{}")
        handle.close()
        raise ServiceError(
            f"The demo already runs at {running.get('url', 'an address it has not told yet')} "
            f"(process {running.get('pid', 'unknown')}); make demo-stop ends it"
        ) from None
    return handle


def _holder(layout: Layout) -> int | None:
    """The process id of the running demo, None when none runs."""
    with layout.lock.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            return int(json.loads(handle.read())["pid"])
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Spotyard's demo.")
    parser.add_argument("action", choices=["start", "stop", "reset"])
    parser.add_argument("--port", type=_port, default=8000, help="where the site answers; the next three are used too")
    parser.add_argument("--detach", action="store_true", help="return when it is ready")
    parser.add_argument("--began", type=float, default=time.time(), help=argparse.SUPPRESS)
    return parser


def _port(text: str) -> int:
    if not text.isdigit() or not 1024 <= int(text) <= 65532:
        raise argparse.ArgumentTypeError(f"PORT={text!r} is not usable: it must be a number from 1024 to 65532")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
