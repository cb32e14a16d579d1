"""Many agents of simulated machines in one process, for demos, development and load tests.

    python -m agent.fleet --server URL --config fleet.json --state-dir DIR

They share one watch over the engine and one pool of threads; an idle machine costs one thread that waits for the
server. What is for an agent that is alone on its machine (telling its status, deleting images) is left out.

The configuration is ``{"machines": [{...}], "defaults": {...}}``; a machine has

    name             its directory below DIR, and its hostname unless that is given; unique
    simulate         "4x RTX 3090"
    token            its install token, needed until it is registered
    ports            "20000-20099"
    hostname, geolocation, public_address, seed, disk_gb, disk_bandwidth, inet_down, inet_up    all optional

and takes from ``defaults`` whatever it does not say itself.
"""

import argparse
import logging
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.host_agent import HostAgent
from agent.inventory.host import HostOptions
from agent.inventory.simulated import SimulationError
from agent.logs import configure, say
from agent.options import MachineOptions, OptionError, parse_ports, parse_server
from agent.process import EXIT_REFUSED, end_event, surroundings
from agent.server import RefusedError
from agent.shared import Shared
from agent.state import StateError

_log = logging.getLogger("agent.fleet")


class FleetMachine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the configuration; empty strings count as not given."""

    name: str
    simulate: str
    token: str | None = None
    ports: str = "20000-20999"
    hostname: str | None = None
    geolocation: str | None = None
    public_address: str | None = None
    seed: str | None = None
    disk_gb: int | None = None
    disk_bandwidth: float | None = None
    inet_down: float | None = None
    inet_up: float | None = None


class _Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    machines: list[dict[str, object]]
    defaults: dict[str, object] = msgspec.field(default_factory=dict)


def read_config(file: Path) -> list[FleetMachine]:
    """Raises ``OptionError`` naming what is wrong."""
    try:
        config = msgspec.json.decode(file.read_bytes(), type=_Config)
        machines = [msgspec.convert(config.defaults | entry, FleetMachine) for entry in config.machines]
    except OSError as error:
        raise OptionError(f"The configuration {file} can't be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise OptionError(f"The configuration {file} is not right: {error}.") from error
    names = [machine.name for machine in machines]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise OptionError(f"The configuration {file} has more than one machine named {duplicates[0]}.")
    return machines


def machine_options(machine: FleetMachine, server: str, state_dir: Path) -> MachineOptions:
    """Raises ``OptionError``."""
    first, last = parse_ports(machine.ports)
    if Path(machine.name).name != machine.name or machine.name in ("", ".", ".."):
        raise OptionError(f"“{machine.name}” can't be a machine's name, because it can't be a directory's.")
    return MachineOptions(
        server=server,
        state_dir=state_dir / machine.name,
        token=machine.token or None,
        simulate=machine.simulate,
        seed=machine.seed or None,
        port_first=first,
        port_last=last,
        public_address=machine.public_address or None,
        geolocation=machine.geolocation or None,
        host=HostOptions(
            hostname=machine.hostname or machine.name,
            disk_gb=machine.disk_gb,
            disk_bandwidth_mbps=machine.disk_bandwidth,
            inet_down_mbps=machine.inet_down,
            inet_up_mbps=machine.inet_up,
        ),
        local_registries=True,
    )


class Fleet:
    """``start`` all, ``stop`` all. A machine that the server refuses drops out; the others go on."""

    def __init__(self, options: list[MachineOptions], shared: Shared) -> None:
        self._agents = [(one.state_dir.name, HostAgent(one, shared, alone=False)) for one in options]
        self._lock = threading.Lock()
        self._left = len(self._agents)
        self.all_refused = threading.Event()

    def start(self) -> None:
        for name, agent in self._agents:
            threading.Thread(target=self._run, args=(name, agent), name=f"agent-{name}", daemon=True).start()

    def stop(self) -> None:
        for _, agent in self._agents:
            agent.stop()

    def _run(self, name: str, agent: HostAgent) -> None:
        try:
            agent.run_until_refused()
        except RefusedError as error:
            say(_log, "machine_refused", level=logging.ERROR, name=name, error=error.error, msg=error.msg)
        except Exception:
            _log.exception("machine_failed name=%s", name)
        else:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.all_refused.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal, or until the server has refused every machine."""
    parsed = _parser().parse_args(arguments)
    configure(verbose=parsed.verbose)
    ending = end_event()
    try:
        server = parse_server(parsed.server)
        options = [machine_options(machine, server, parsed.state_dir) for machine in read_config(parsed.config)]
        with surroundings(use_firewall=not parsed.no_firewall) as shared:
            return _run(Fleet(options, shared), ending)
    except (OptionError, SimulationError, StateError) as error:
        print(f"agent.fleet: {error}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return 1


def _run(fleet: Fleet, ending: threading.Event) -> int:
    fleet.start()
    while not ending.wait(1.0):
        if fleet.all_refused.is_set():
            return EXIT_REFUSED
    fleet.stop()
    say(_log, "fleet_ends")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agent.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--server", required=True, metavar="URL", help="address of the marketplace")
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="the machines, as described above")
    parser.add_argument("--state-dir", required=True, type=Path, metavar="DIR", help="one directory a machine in it")
    parser.add_argument("--no-firewall", action="store_true", help="do not load the nftables rules")
    parser.add_argument("--verbose", action="store_true", help="log details")
    return parser


if __name__ == "__main__":
    sys.exit(main())
