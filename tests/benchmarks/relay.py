"""Throughput of scp through the relay, as a ratio to scp straight to the machine's own port.

The client, the relay, the agent's ssh and the container all share this computer, so without a limit it is CPU time for
each byte that is compared: direct, two programs encrypt; through the relay, four. The second part gives the client a
line of so many Mbit/s, as clients have. Both ways take turns, so that whatever else the computer does hits both alike.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts import engine as engine_of_machine
from scripts.demo.layout import ROOT
from scripts.image import ensure_image
from tests.benchmarks.figures import Comparison, heading, tell
from tests.benchmarks.rent import market
from tests.plumbing.nat import Nat
from tests.plumbing.rental import SshKeyPair

TARGET_RATIO = 0.7
MEGABYTE = 1024 * 1024
_QUEUE = "burst 512kb latency 20ms"


@dataclass(frozen=True)
class Copying:
    """Copies of one file to and from an instance, by a client ``within`` some network."""

    key: SshKeyPair
    file: Path
    megabytes: int
    within: tuple[str, ...] = ()

    def up(self, address: tuple[str, int]) -> float:
        """Megabytes a second to the instance."""
        return self._rate(address, str(self.file), f"root@{address[0]}:/root/sink")

    def down(self, address: tuple[str, int]) -> float:
        """Megabytes a second from the instance."""
        return self._rate(address, f"root@{address[0]}:/root/sink", str(self.file.with_suffix(".back")))

    def _rate(self, address: tuple[str, int], source: str, target: str) -> float:
        options = ["-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        scp = [*self.within, "scp", *options, "-i", str(self.key.private_file), "-P", str(address[1]), source, target]
        began = time.monotonic()
        subprocess.run(scp, check=True, capture_output=True)
        return self.megabytes / (time.monotonic() - began)


def compare(name: str, copying: Copying, relay: tuple[str, int], direct: tuple[str, int], repeats: int) -> None:
    """Take turns and print."""
    heading(name)
    up = Comparison("scp to the instance", "MB/s", at_least=TARGET_RATIO)
    down = Comparison("scp from the instance", "MB/s", at_least=TARGET_RATIO)
    copying.up(direct)
    copying.up(relay)
    for _ in range(repeats):
        up.add(copying.up(relay), copying.up(direct))
        down.add(copying.down(relay), copying.down(direct))
    tell(up)
    tell(down)


def shaped(nat: Nat, mbit: int) -> None:
    """Give the client a line of this speed in both directions."""
    for before, device in ((nat.client, "line"), ((), nat.client_line)):
        command = f"tc qdisc replace dev {device} root tbf rate {mbit}mbit {_QUEUE}"
        subprocess.run([*before, *command.split()], check=True)


def measure(repeats: int, megabytes: int, lines: Sequence[int]) -> None:
    """On this computer's loopback, then over lines of these speeds where network namespaces can be made."""
    image = ensure_image(ROOT / "var" / "cache")
    with market() as (client, machine), tempfile.TemporaryDirectory(prefix="bench-") as folder:
        key = SshKeyPair.make(Path(folder))
        client.call("POST", "/ssh/", {"ssh_key": key.public_line})
        file = Path(folder) / "file"
        file.write_bytes(os.urandom(megabytes * MEGABYTE))
        contract = client.rent(machine.machine_id, image=image)
        row = client.wait_until(contract, "running")
        relay_port, direct_port = int(row["ssh_port"]), int(row["machine_dir_ssh_port"])
        key.ssh("127.0.0.1", relay_port, "true")
        compare(
            "No limit but the CPU",
            Copying(key, file, megabytes),
            ("127.0.0.1", relay_port),
            ("127.0.0.1", direct_port),
            repeats,
        )
        if obstacle := Nat.obstacle():
            tell(f"Lines were left out: {obstacle}")
            return
        with Nat() as nat:
            nat.lead_to_loopback(client.stack.layout.relay_ports)
            for mbit in lines:
                shaped(nat, mbit)
                copying = Copying(key, file, megabytes, nat.client)
                relay, direct = (nat.internet, relay_port), (nat.internet, direct_port)
                compare(f"The client's line has {mbit} Mbit/s", copying, relay, direct, repeats)


def main() -> None:
    """Have an engine, measure, and leave nothing running that was not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--mbit", type=int, nargs="*", default=[1000, 300])
    arguments = parser.parse_args()
    holder = f"bench-{os.getpid()}"
    print(f"Docker engine: {engine_of_machine.ensure(holder, holder_pid=os.getpid())}")
    try:
        measure(arguments.repeats, arguments.megabytes, arguments.mbit)
    finally:
        engine_of_machine.release(holder)


if __name__ == "__main__":
    main()
