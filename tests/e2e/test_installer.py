"""The one line of Host / Setup, run for real on a clean Debian against the whole product: what it installs works, and
what it takes back is gone."""

import json
import re
from collections.abc import Iterator

import docker
import pytest
import requests

from agent.register_protocol import TOKEN_PATH
from tests.plumbing.bare_machine import BareMachine
from tests.plumbing.ports import claim_ports
from tests.plumbing.rental import Account, account
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

STATE = "/var/lib/spotyard"


@pytest.fixture(scope="module")
def host(stack: Stack) -> Account:
    return account(stack)


@pytest.fixture
def bare(engine: docker.DockerClient, demo_image: str) -> Iterator[BareMachine]:
    with BareMachine(engine, demo_image) as machine:
        yield machine


def install(stack: Stack, words: str, *, token: str = "", ports: str = "") -> str:
    """The line of the page, without sudo, with the options that a machine without GPUs needs."""
    options = f'--simulate "2x RTX 3090" --ports {ports} --no-firewall' if ports else ""
    return f"curl -fsSL {stack.url}/install.sh | bash -s -- {token} {options} {words}"


def test_from_a_clean_machine_to_a_host_and_back(stack: Stack, host: Account, bare: BareMachine) -> None:
    ports = claim_ports(20)
    before = bare.files()

    told = bare.run(install(stack, "--dry-run", token=host.token, ports=ports))
    assert "GPUs: 2x RTX 3090, SIMULATED" in told
    assert re.search(r"would install with apt: .*nftables", told)
    assert "would start the agent as the service" in told
    assert bare.files() == before

    told = bare.run(install(stack, "", token=host.token, ports=ports))
    found = re.search(rf"This is machine (\d+): {stack.url}/host/machines/(\d+)/", told)
    assert found is not None, told
    assert found[1] == found[2]
    assert re.search(r"^ok +Marketplace: ", told, re.MULTILINE), "the self-test runs"
    assert host.token not in bare.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /etc/spotyard/agent.conf")
    assert bare.run("find /etc/spotyard /var/lib/spotyard -name 'token*'") == ""
    stolen = requests.post(
        stack.url + TOKEN_PATH, json={"token": host.token, "replacement": "syi_" + "x" * 43}, timeout=10
    )
    assert stolen.json()["error"] == "bad_token", "who saw it on the command line has nothing"
    assert "READY=1" in bare.run("cat /run/fake-systemd/*.told")
    assert bare.run("stat -c %a /etc/spotyard /var/lib/spotyard /etc/spotyard/agent.conf").split() == ["700"] * 2 + [
        "600"
    ]
    status = json.loads(bare.run("spotyard-agent status --json"))
    assert (status["alive"], status["connected"], status["machine_id"]) == (True, True, int(found[1]))
    assert f"machine {found[1]}, SIMULATED GPUs" in bare.run("spotyard-agent status")

    pid = status["pid"]
    told = bare.run(install(stack, ""))  # again, with nothing said: an upgrade or a repair
    assert "would" not in told
    assert "install with apt" not in told
    assert "install the agent" not in told
    assert f"This is machine {found[1]}: " in told
    assert json.loads(bare.run("spotyard-agent status --json"))["pid"] != pid

    assert "--> remove the packages" in bare.run(install(stack, "uninstall"))
    assert bare.files() == before
    assert "spotyard" not in bare.run("ps ax -o args | grep -v -e curl -e grep -e find -e 'bash -c' || true")


def test_a_token_that_is_wrong_is_said_plainly(stack: Stack, bare: BareMachine) -> None:
    told = bare.run("useradd --system nobody2; " + install(stack, "", token="wrong", ports=claim_ports(20)), code=1)
    assert "The marketplace refused this machine: This install token is not valid." in told
