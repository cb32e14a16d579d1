"""Benchmark and challenge run on the CPU in real containers through a real agent, and their results are kept."""

import subprocess
from pathlib import Path
from typing import Any

import docker
import psycopg2
import pytest

from scripts import dlperf_image
from scripts.demo.containers import OWNER_LABEL, owners_in
from tests.plumbing.rental import account, host_machine
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

CACHE = Path(__file__).resolve().parent.parent.parent / "var" / "cache"
ASK = """
from django.utils import timezone
from hosting.models import Machine
from hosting.services.challenge_sweeps import challenge_ask
from hosting.services.measuring import benchmark_ask
machine = Machine.objects.get(pk={machine_id})
{what}_ask(machine_id=machine.pk, host=machine.host, now=timezone.now())
"""
LOOK = """
SELECT m.state, m.message, m.result, m.score, m.is_cpu, m.simulated, t.spec ->> 'network'
FROM hosting_measurement m LEFT JOIN hosting_task t ON t.id = m.task_id WHERE m.machine_id = %s
"""
JUDGEMENTS = """
SELECT r.passed, json_array_length(r.answer::json), f.evidence
FROM hosting_challengerun r LEFT JOIN hosting_verificationfinding f ON f.run_id = r.measurement_id
WHERE r.machine_id = %s
"""


@pytest.fixture(scope="module")
def program(engine: docker.DockerClient) -> str:
    """The program's image, present in the engine."""
    engine.ping()
    return dlperf_image.ensure_image(CACHE)


def test_a_machine_is_measured_and_a_client_is_not_kept_waiting(stack: Stack, program: str, demo_image: str) -> None:
    machine = host_machine(stack, "measured", simulate="2x RTX 3090")
    client = account(stack, dollars=10)

    def images() -> list[str]:
        """Of the machine's containers, whether or not they run."""
        (owner,) = owners_in(stack.agent_state("measured"))
        look = ["docker", "ps", "-a", "--filter", f"label={OWNER_LABEL}={owner}", "--format", "{{.Image}}"]
        return subprocess.run(look, capture_output=True, text=True, check=True).stdout.split()

    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        connection.autocommit = True

        def measurement() -> Any:
            cursor.execute(LOOK, [machine.machine_id])
            return cursor.fetchone()

        stack.shell(ASK.format(what="benchmark", machine_id=machine.machine_id))
        stack.wait_for(lambda: images() == [program], "the benchmark to run")
        instance = client.rent(machine.machine_id, image=demo_image)
        client.wait_until(instance, "running")
        assert images() == [demo_image]
        assert measurement()[:2] == ("waiting", "Interrupted by a rental. It begins anew when nobody uses the machine.")

        client.call("DELETE", f"/instances/{instance}/", {})
        stack.wait_for(lambda: measurement()[0] in ("succeeded", "failed"), "its end", timeout_seconds=300)
        state, message, result, score, is_cpu, simulated, network = measurement()
        assert state == "succeeded", message
        assert (is_cpu, simulated, network) == (True, True, "none")
        assert (result["mode"], result["device"], len(result["devices"])) == ("small", "cpu", 1)
        assert result["devices"][0]["metrics"]["resnet50_train_fp32_images_per_s"]["median"] > 0
        assert score >= 0
        stack.wait_for(lambda: images() == [], "its container to be removed")


@pytest.mark.usefixtures("program")
def test_a_machine_is_challenged_and_its_answer_is_checked(stack: Stack) -> None:
    machine = host_machine(stack, "challenged", simulate="2x RTX 3090")
    stack.shell(ASK.format(what="challenge", machine_id=machine.machine_id))
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        connection.autocommit = True

        def judgements() -> list[Any]:
            cursor.execute(JUDGEMENTS, [machine.machine_id])
            return cursor.fetchall()

        stack.wait_for(lambda: bool(judgements()), "the judgement", timeout_seconds=300)
        assert judgements() == [(True, 2, None)]
