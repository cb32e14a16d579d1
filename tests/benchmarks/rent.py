"""From the click on Rent to the running container, as a ratio to a bare ``docker run -d`` of the same image.

Both are measured to the same event of the same engine, the container's start, and take turns, so that whatever else the
machine does hits both alike. Prints every pair, then medians and their ratio; then the same from the click to a shell
over SSH (tests/benchmarks/prompt.py).
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker

from scripts import engine as engine_of_machine
from scripts.demo.layout import ROOT
from scripts.image import ensure_image
from tests.benchmarks import prompt
from tests.plumbing.environment import start_postgres
from tests.plumbing.rental import Account, HostMachine, account, host_machine
from tests.plumbing.stack import Stack

TARGET_RATIO, TARGET_EXTRA_SECONDS = 1.3, 0.2
SLEEP = ["sleep", "infinity"]


def seconds_until_start(engine: docker.DockerClient, click: Callable[[], object]) -> float:
    """Seconds from before ``click`` to the engine's next start event of a container."""
    events = engine.events(decode=True, filters={"type": "container", "event": "start"})
    try:
        began = time.time_ns()
        click()
        return (int(next(events)["timeNano"]) - began) / 1e9
    finally:
        events.close()


def bare(engine: docker.DockerClient, image: str) -> float:
    """One ``docker run -d``."""
    name = f"bench-{time.time_ns()}"
    command = ["docker", "run", "-d", "--name", name, image, *SLEEP]
    taken = seconds_until_start(engine, lambda: subprocess.run(command, check=True, capture_output=True))
    engine.containers.get(name).remove(force=True)
    return taken


def rented(engine: docker.DockerClient, client: Account, machine: HostMachine, image: str) -> float:
    """One rental, from the offer in hand to the start of its container; then it is destroyed."""
    query = {"machine_id": {"eq": machine.machine_id}, "num_gpus": {"eq": 1}, "verified": {"eq": "any"}}
    (offer,) = client.call("POST", "/bundles/", query)["offers"]
    body = {"image": image, "disk": 10, "runtype": "args", "args": SLEEP}
    contract = []

    def click() -> None:
        contract.append(client.call("PUT", f"/asks/{offer['id']}/", body)["new_contract"])

    taken = seconds_until_start(engine, click)
    client.call("DELETE", f"/instances/{contract[0]}/", {})
    client.wait_until(contract[0], "gone")
    return taken


@contextmanager
def market() -> Iterator[tuple[Account, HostMachine]]:
    """A stack with a machine to rent and a client who can pay."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        postgres, process = start_postgres(Path(folder))
        try:
            os.environ["DATABASE_URL"] = postgres.url()
            with Stack(Path(folder) / "stack", database_url=postgres.url()) as stack:
                yield account(stack, dollars=100), host_machine(stack, "bench")
        finally:
            process.stop()


def report(floor: list[float], ours: list[float]) -> str:
    """Medians, ratio, and whether the target holds."""
    base, taken = statistics.median(floor), statistics.median(ours)
    limit = TARGET_RATIO * base + TARGET_EXTRA_SECONDS
    verdict = "within" if taken <= limit else "OVER"
    return (
        f"docker run -d: median {base * 1000:.0f} ms    rent -> running: median {taken * 1000:.0f} ms\n"
        f"ratio {taken / base:.2f}    target 1.3 x + 200 ms = {limit * 1000:.0f} ms: {verdict}"
    )


def main() -> None:
    """Have an engine, measure, and leave nothing running that was not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    holder = f"bench-{os.getpid()}"
    print(f"Docker engine: {engine_of_machine.ensure(holder, holder_pid=os.getpid())}")
    try:
        measure(parser.parse_args().pairs)
    finally:
        engine_of_machine.release(holder)


def measure(pairs: int) -> None:
    """Take turns and print."""
    image = ensure_image(ROOT / "var" / "cache")
    engine = docker.from_env()
    floor: list[float] = []
    ours: list[float] = []
    with market() as (client, machine):
        rented(engine, client, machine, image)  # the first one warms both sides up
        bare(engine, image)
        for number in range(pairs):
            floor.append(bare(engine, image))
            ours.append(rented(engine, client, machine, image))
            print(f"{number + 1:3}  docker run {floor[-1] * 1000:6.0f} ms   rent {ours[-1] * 1000:6.0f} ms", flush=True)
        print(report(floor, ours))
        print(prompt.measure(engine, client, machine, image, pairs))


if __name__ == "__main__":
    main()
