"""The agent of one machine: ``python -m agent --server URL --token T``.

``python -m agent self-test --server URL`` looks whether the machine can be rented out, without registering it;
``python -m agent status`` says how the agent of this machine is. ``@FILE`` stands for options in a file, one a line.
"""

import argparse
import logging
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from agent import __version__
from agent.engine.docker_engine import DockerEngine
from agent.host_agent import HostAgent
from agent.inventory.host import HostOptions
from agent.inventory.simulated import SimulationError
from agent.inventory.sources import InventoryError
from agent.logs import configure, say
from agent.options import (
    DEFAULT_DISK_FLOOR_GB,
    DEFAULT_PORTS,
    MachineOptions,
    OptionError,
    default_state_dir,
    find_token,
    parse_ports,
    parse_server,
)
from agent.process import (
    EXIT_REFUSED,
    EXIT_REPLACED,
    EXIT_REVOKED,
    EXIT_TOO_OLD,
    EXIT_UNFIT,
    end_event,
    surroundings,
)
from agent.self_test import self_test
from agent.server import RefusedError
from agent.state import StateError
from agent.tasks.tools import Checkpoint, no_checkpoint
from agent.upkeep import status

_log = logging.getLogger("agent")

_TOO_OLD_STATUS = 426
_EPILOG = """
The token is needed once: the machine's own credential is then kept in the state directory. Give it in the environment
variable SPOTYARD_TOKEN or with --token-file to keep it out of the list of processes.

exit status: 0 ended by a signal, 1 wrong options, 2 refused by the server, 3 this machine's registration was revoked,
4 the self-test found something to put right, 5 too old for the marketplace, 75 to be started again as another version;
of status: 1 where the agent does not run or is not connected. Containers keep running in every case.
"""

SELF_TEST = "self-test"
STATUS = "status"
_HELP = {
    "command": "run (the default); self-test: look whether this machine can be rented out, and change nothing; status: "
    "how the agent of this machine is",
    "json": "with status: for programs",
    "log_file": "log to this file, which is begun anew as it grows (default: to stderr)",
    "no_firewall": "do not load the nftables rules that keep guests from this host and its local network",
    "state_dir": "where the machine's credential and its tasks' state are kept (default: %(default)s)",
    "local_registries": "let guests name image registries of this host and its local network",
    "simulate": "pretend to have these GPUs; containers are real but get none",
    "ports": "ports for guests, reachable from outside (default: %(default)s)",
    "public_address": "address under which clients reach those ports (default: the one the server sees)",
    "disk_bandwidth": "disk speed in MB/s (default: what disks of its kind usually do)",
    "disk_floor": "start nothing while less than this is free (default: %(default)s)",
}


def main(arguments: Sequence[str] | None = None, checkpoint: Checkpoint = no_checkpoint) -> int:
    """Run until a signal or a refusal; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    if parsed.command == STATUS:
        return _status(parsed.state_dir, as_json=parsed.json)
    configure(verbose=parsed.verbose, file=parsed.log_file if parsed.command != SELF_TEST else None)
    ending = end_event()
    try:
        options = _options(parsed)
        if parsed.command == SELF_TEST:
            return _self_test(options, use_firewall=not parsed.no_firewall)
        with surroundings(use_firewall=not parsed.no_firewall, checkpoint=checkpoint) as shared:
            agent = HostAgent(options, shared)
            return _run(agent, ending)
    except (OptionError, SimulationError, InventoryError, StateError) as error:
        print(f"agent: {error}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return 1


def _status(directory: Path, *, as_json: bool) -> int:
    found, now = status.read(directory), time.time()
    if found is None:
        print(f"No agent has run with the state directory {directory}, or it is not yours to read.")  # noqa: T201 - for the person
        return 1
    alive = status.is_alive(found, now)
    if as_json:
        print(status.as_json(found, alive=alive).decode())  # noqa: T201 - for programs
    else:
        print("\n".join(status.as_text(found, alive=alive, now=now)))  # noqa: T201 - for the person at the terminal
    return 0 if alive and found.connected else 1


def _self_test(options: MachineOptions, *, use_firewall: bool) -> int:
    """Prints what is found as it is found."""
    failed = 0
    for finding in self_test(options, DockerEngine(), use_firewall=use_firewall):
        print(finding, flush=True)  # noqa: T201 - for the person at the terminal
        failed += bool(finding.remedy)
    print("All is well." if not failed else f"{failed} to put right.")  # noqa: T201 - for the person at the terminal
    return EXIT_UNFIT if failed else 0


def _run(agent: HostAgent, ending: threading.Event) -> int:
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            agent.run_until_refused()
        except BaseException as error:
            outcome.append(error)
        ending.set()

    threading.Thread(target=run, name="agent", daemon=True).start()
    ending.wait()
    agent.stop()
    if not outcome:
        say(_log, "agent_ends")
        return EXIT_REPLACED if agent.wants_restart else 0
    if not isinstance(outcome[0], RefusedError):
        raise outcome[0]
    return _explain(outcome[0], registered=agent.registered)


def _explain(refusal: RefusedError, *, registered: bool) -> int:
    print(f"agent: refused by the server: {refusal.msg} ({refusal.error})", file=sys.stderr)  # noqa: T201 - for the person at the terminal
    if not registered:
        return EXIT_REFUSED
    print("agent: containers on this machine keep running.", file=sys.stderr)  # noqa: T201 - for the person at the terminal
    return EXIT_TOO_OLD if refusal.status == _TOO_OLD_STATUS else EXIT_REVOKED


def _options(parsed: argparse.Namespace) -> MachineOptions:
    first, last = parse_ports(parsed.ports)
    return MachineOptions(
        server=parse_server(parsed.server),
        state_dir=parsed.state_dir,
        token=find_token(parsed.token, parsed.token_file),
        simulate=parsed.simulate,
        port_first=first,
        port_last=last,
        public_address=parsed.public_address,
        geolocation=parsed.geolocation,
        host=HostOptions(
            hostname=parsed.hostname,
            disk_gb=parsed.disk_gb,
            inet_up_mbps=parsed.inet_up,
            inet_down_mbps=parsed.inet_down,
            disk_bandwidth_mbps=parsed.disk_bandwidth,
        ),
        disk_floor_gb=parsed.disk_floor_gb,
        ca_file=parsed.ca_file,
        local_registries=parsed.local_registries,
    )


class OptionParser(argparse.ArgumentParser):
    """In a file of options, empty lines and those that begin with # say nothing."""

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        return [arg_line.strip()] if arg_line.strip() and not arg_line.strip().startswith("#") else []


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser(
        prog="python -m agent",
        description="Rent out this machine's GPUs on a Spotyard marketplace.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@",
    )
    parser.add_argument("--version", action="version", version=f"spotyard-agent {__version__}")
    parser.add_argument("command", nargs="?", choices=["run", SELF_TEST, STATUS], default="run", help=_HELP["command"])
    _add_registration(parser)
    _add_machine(parser)
    parser.add_argument("--no-firewall", action="store_true", help=_HELP["no_firewall"])
    parser.add_argument("--local-registries", action="store_true", help=_HELP["local_registries"])
    parser.add_argument("--json", action="store_true", help=_HELP["json"])
    parser.add_argument("--log-file", type=Path, metavar="FILE", help=_HELP["log_file"])
    parser.add_argument("--verbose", action="store_true", help="log details")
    return parser


def _add_registration(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("marketplace").add_argument
    add("--server", default="", metavar="URL", help="address of the marketplace")
    add("--token", metavar="T", help="install token, from Host / Setup")
    add("--token-file", type=Path, metavar="FILE", help="file with the install token")
    add("--state-dir", type=Path, metavar="DIR", default=default_state_dir(), help=_HELP["state_dir"])
    add("--ca-file", metavar="FILE", help="certificate authorities to trust instead of the usual ones")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("this machine").add_argument
    ports = "{}-{}".format(*DEFAULT_PORTS)
    add("--simulate", metavar='"4x RTX 3090"', help=_HELP["simulate"])
    add("--ports", metavar="FIRST-LAST", default=ports, help=_HELP["ports"])
    add("--public-address", metavar="A", help=_HELP["public_address"])
    add("--geolocation", metavar='"Oslo, NO"', help="city and country code")
    add("--hostname", metavar="NAME", help="name to show (default: this machine's)")
    add("--disk-gb", type=int, metavar="N", help="disk space for guests (default: what is free at registration)")
    add("--disk-bandwidth", type=float, metavar="MBPS", help=_HELP["disk_bandwidth"])
    add("--inet-down", type=float, metavar="MBPS", help="internet download in Mbit/s (default: the link's)")
    add("--inet-up", type=float, metavar="MBPS", help="internet upload in Mbit/s (default: the link's)")
    add("--disk-floor-gb", type=float, metavar="N", default=DEFAULT_DISK_FLOOR_GB, help=_HELP["disk_floor"])


if __name__ == "__main__":
    sys.exit(main())
