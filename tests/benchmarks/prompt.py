"""From the click on Rent to a shell that answers over SSH, as a ratio to ``docker run`` and ssh on the same engine.

All sides try to log in with the same ssh client until a command has printed its word, and again a moment after a
refusal: a client who waits takes no CPU from the host. The bare container does no more than it must: it makes one host
key, puts the key in its place and runs the image's sshd. It is on the network that guests are on, which keeps them from
each other and for which the engine sets up more than for its own bridge; what that costs is shown beside. A guest's
network is made for it alone; the bare container finds its one there.
"""

import statistics
import subprocess
import time

import docker

from tests.plumbing.ports import claim_ports
from tests.plumbing.rental import Account, HostMachine, SshKeyPair

TARGET_RATIO = 1.5
GIVE_UP_SECONDS = 120.0
PAUSE_SECONDS = 0.02
WORD = "prompt"
_SERVER = """
mkdir -p /run/sshd /root/.ssh && printf '%s\\n' "$KEY" >/root/.ssh/authorized_keys && chmod -R go= /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /root/hostkey && exec /usr/sbin/sshd -D -e -h /root/hostkey
"""


def log_in(key: SshKeyPair, host: str, port: int) -> None:
    """Return when a command has run in the container; a refused or unanswered try is followed by the next soon."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while key.ssh(host, port, f"echo {WORD}", attempts=1).stdout.strip() != WORD:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no shell at {host}:{port} within {GIVE_UP_SECONDS:.0f} s")
        time.sleep(PAUSE_SECONDS)


def bare(engine: docker.DockerClient, image: str, key: SshKeyPair, port: int, network: str) -> float:
    """Seconds from ``docker run -d`` with a published port to the shell."""
    name = f"bench-{time.time_ns()}"
    command = ["docker", "run", "-d", "--name", name, "--network", network]
    command += ["-p", f"127.0.0.1:{port}:22", "-e", f"KEY={key.public_line}"]
    began = time.monotonic()
    subprocess.run([*command, image, "sh", "-c", _SERVER], check=True, capture_output=True)
    log_in(key, "127.0.0.1", port)
    taken = time.monotonic() - began
    engine.containers.get(name).remove(force=True)
    return taken


def rented(client: Account, machine: HostMachine, image: str, key: SshKeyPair) -> float:
    """Seconds from the offer in hand to the shell, at the address that the marketplace gives; then it is destroyed."""
    query = {"machine_id": {"eq": machine.machine_id}, "num_gpus": {"eq": 1}, "verified": {"eq": "any"}}
    (offer,) = client.call("POST", "/bundles/", query)["offers"]
    began = time.monotonic()
    contract = client.call("PUT", f"/asks/{offer['id']}/", {"image": image, "disk": 10, "runtype": "ssh"})[
        "new_contract"
    ]
    shown = client.instance(contract) or {}
    log_in(key, shown["ssh_host"], int(shown["ssh_port"]))
    taken = time.monotonic() - began
    client.call("DELETE", f"/instances/{contract}/", {})
    client.wait_until(contract, "gone")
    return taken


def measure(engine: docker.DockerClient, client: Account, machine: HostMachine, image: str, pairs: int) -> str:
    """Take turns, print every pair, and return the verdict."""
    key = SshKeyPair.make(machine.host.stack.directory)
    client.call("POST", "/ssh/", {"ssh_key": key.public_line})
    port = int(claim_ports().partition("-")[0])
    own = engine.networks.create(f"bench-{time.time_ns()}", driver="bridge")
    try:
        return _measured(engine, client, machine, image, pairs, key, port, str(own.name))
    finally:
        own.remove()


def _measured(
    engine: docker.DockerClient,
    client: Account,
    machine: HostMachine,
    image: str,
    pairs: int,
    key: SshKeyPair,
    port: int,
    network: str,
) -> str:
    floor: list[float] = []
    bridged: list[float] = []
    ours: list[float] = []
    rented(client, machine, image, key)  # the first one warms both sides up
    bare(engine, image, key, port, network)
    for number in range(pairs):
        floor.append(bare(engine, image, key, port, network))
        bridged.append(bare(engine, image, key, port, "bridge"))
        ours.append(rented(client, machine, image, key))
        print(f"{number + 1:3}  docker run + ssh {floor[-1] * 1000:6.0f} ms   rent + ssh {ours[-1] * 1000:6.0f} ms")
    base, taken = statistics.median(floor), statistics.median(ours)
    verdict = "within" if taken <= TARGET_RATIO * base else "OVER"
    return (
        f"docker run + ssh: median {base * 1000:.0f} ms    rent -> shell: median {taken * 1000:.0f} ms\n"
        f"ratio {taken / base:.2f}    target {TARGET_RATIO}: {verdict}\n"
        f"on the engine's own bridge: median {statistics.median(bridged) * 1000:.0f} ms"
    )
