"""``python -m scripts.fleet --machines 200``: simulated machines, and clients, against a running server.

Without --server, the demo of this checkout and its accounts. With it, SPOTYARD_HOST_KEY is the API key of the account
that gets the machines, and SPOTYARD_CLIENT_KEYS those of accounts that rent, separated by commas. All machines are
simulated and marked so; clients rent on them alone. The same seed against the same server is the same machines again.
"""

import argparse
import hashlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.pool import Pool
from agent.server import RefusedError, ServerAwayError
from scripts.fleet import plan
from scripts.fleet.api import Api, ApiError
from scripts.fleet.clients import Client
from scripts.fleet.clock import Clock
from scripts.fleet.machine import Drill, KnownMachine, Machine
from scripts.fleet.tally import Tally

ROOT = Path(__file__).resolve().parent.parent.parent
THREADS = 32
LINE_SECONDS = 5.0


class UsageError(Exception):
    """Something is missing; says what."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal or for --seconds, then say how it went."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        server, host_key, client_keys = _accounts(options.server)
        return _run(options, server, host_key, client_keys, ended)
    except (UsageError, ApiError, RefusedError, ServerAwayError) as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1


def _run(
    options: argparse.Namespace, server: str, host_key: str, client_keys: list[str], ended: threading.Event
) -> int:
    clock, tally = Clock(), Tally()
    drill = Drill(
        server=server,
        host=Api(server, host_key),
        clock=clock,
        pool=Pool(THREADS, "fleet"),
        tally=tally,
        rates=plan.Rates.quiet(options.churn),
        seed=options.seed,
    )
    file = options.state / f"{hashlib.sha256(server.encode()).hexdigest()[:12]}-{options.seed}.json"
    machines = _machines(drill, options.machines, file)
    clock.start()
    started = _start(machines, file, ended)
    ids = [machine.known.machine_id for machine in started if machine.known is not None]
    clients = _clients(options.clients, server, client_keys, tally, options.seed, ids)
    for client in clients:
        client.start()
    deadline = time.monotonic() + options.seconds if options.seconds else None
    while not ended.wait(LINE_SECONDS) and (deadline is None or time.monotonic() < deadline):
        print(tally.line(_states(machines, clients)), flush=True)
    for client in clients:
        client.stop()
    for client in clients:
        client.join()
    for machine in machines:
        machine.stop()
    clock.stop()
    _report(tally, machines, clients)
    return 0


def _machines(drill: Drill, count: int, file: Path) -> list[Machine]:
    known = msgspec.json.decode(file.read_bytes(), type=dict[str, KnownMachine]) if file.exists() else {}
    return [Machine(drill, wish, known.get(str(wish.number))) for wish in plan.machines(count, drill.seed)]


def _start(machines: list[Machine], file: Path, ended: threading.Event) -> list[Machine]:
    """One after the other, each written down at once: another drill goes on with what this one has."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    started: list[Machine] = []
    for machine in machines:
        if ended.is_set():
            break
        was_known = machine.known is not None
        machine.start()
        started.append(machine)
        if not was_known:
            _write(file, machines)
    return started


def _write(file: Path, machines: list[Machine]) -> None:
    known = {str(number): machine.known for number, machine in enumerate(machines) if machine.known is not None}
    before = msgspec.json.decode(file.read_bytes(), type=dict[str, KnownMachine]) if file.exists() else {}
    temporary = file.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_bytes(msgspec.json.encode(before | known))
    temporary.replace(file)


def _clients(count: int, server: str, keys: list[str], tally: Tally, seed: int, ids: list[int]) -> list[Client]:
    if count and not keys:
        raise UsageError("There is no account that rents: set SPOTYARD_CLIENT_KEYS, or --clients 0.")
    return [Client(number, Api(server, keys[number % len(keys)]), tally, seed, ids) for number in range(count)]


def _states(machines: list[Machine], clients: list[Client]) -> dict[str, int]:
    states = Counter(f"instances {state}" for client in clients for state in list(client.states.values()))
    return {"machines online": sum(machine.is_online for machine in machines), **states}


def _report(tally: Tally, machines: list[Machine], clients: list[Client]) -> None:
    print("In all:")
    print(tally.line(_states(machines, clients)))
    for what, number in sorted(tally.counts().items()):
        print(f"{number:8}  {what}")


def _accounts(server: str | None) -> tuple[str, str, list[str]]:
    """Where, the host's API key, and the clients'."""
    if server is not None:
        key = os.environ.get("SPOTYARD_HOST_KEY", "")
        if not key:
            raise UsageError("Set SPOTYARD_HOST_KEY to the API key of the account that gets the machines.")
        keys = [each for each in os.environ.get("SPOTYARD_CLIENT_KEYS", "").split(",") if each]
        return server.rstrip("/"), key, keys
    ready = ROOT / "var" / "demo.json"
    if not ready.exists():
        raise UsageError("No demo runs here: start one with make demo, or name a server with --server.")
    facts = json.loads(ready.read_text())
    accounts = facts["accounts"]
    renters = [accounts[role]["api_key"] for role in ("client", "client2")]
    return str(facts["url"]), str(accounts["host"]["api_key"]), renters


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.fleet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--machines", type=int, default=200, metavar="N", help="how many machines (200)")
    add("--clients", type=int, default=0, metavar="N", help="how many clients rent on them (0)")
    add(
        "--churn", type=float, default=1.0, metavar="X", help="how often things happen, 1 being a market that lives (1)"
    )
    add("--seed", type=int, default=1, help="another one is another fleet (1)")
    add("--seconds", type=float, default=0.0, help="end by itself after so long (0: never)")
    add("--server", metavar="URL", help="a server that is not the demo of this checkout")
    add("--state", type=Path, default=ROOT / "var" / "fleet", help="where machines are remembered (var/fleet)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
