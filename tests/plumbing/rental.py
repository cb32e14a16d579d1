"""People and machines on a running Stack, as tests of the whole product need them."""

import json
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import requests

from scripts.demo.containers import OWNER_LABEL, owners_in
from scripts.services.processes import ManagedProcess
from tests.plumbing.stack import Stack

_MAKE_ACCOUNT = """
import json
from allauth.account.models import EmailAddress
from django.utils import timezone
from billing.services import credit_grant
from hosting.services.install_tokens import install_token_create
from marketplace.models import User
from marketplace.services.keys import api_key_create
user = User.objects.create_user({email!r}, {password!r})
EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
if {dollars}:
    credit_grant(user=user, amount_micros={dollars} * 1_000_000, actor=None, reason="test",
                 idempotency_key="t:" + user.email, now=timezone.now())
print(json.dumps(dict(id=user.pk, api_key=api_key_create(user=user, name="test", now=timezone.now())[1],
                      token=install_token_create(host=user, now=timezone.now())[1])))
"""

_LIST = """
import json
from datetime import timedelta
from django.utils import timezone
from hosting.domain.listing import ListingTerms
from hosting.models import InstallToken
from hosting.services.listing import listing_set
machine = InstallToken.objects.get(host__email={email!r}).machine
listing_set(machine_id=machine.pk, host=machine.host, now=timezone.now(), terms=ListingTerms(
    gpu_micros_per_hour={gpu_micros_per_hour}, storage_micros_per_gb_month=100_000,
    inet_up_micros_per_gb={inet_up_micros_per_gb}, inet_down_micros_per_gb=0, min_gpus=1,
    end_at=timezone.now() + timedelta(days=30)))
print(json.dumps(machine.pk))
"""


@dataclass(frozen=True)
class Account:
    """Someone with a verified e-mail address, an API key and an unused install token."""

    stack: Stack
    id: int
    email: str
    password: str
    api_key: str
    token: str

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON reply of the public API; AssertionError with the reply unless it is a 2xx."""
        reply = self.try_call(method, path, body)
        assert reply.ok, (reply.status_code, reply.text)
        return reply.json()

    def try_call(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        """The reply of the public API, whatever it is."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return requests.request(method, f"{self.stack.url}/api/v0{path}", json=body, headers=headers, timeout=30)

    def instance(self, instance_id: int) -> dict[str, Any] | None:
        """The instance as the API shows it; None when it is gone."""
        found: dict[str, Any] | None = self.call("GET", f"/instances/{instance_id}/?owner=me")["instances"]
        return found

    def wait_until(self, instance_id: int, state: str, timeout_seconds: float = 60) -> dict[str, Any]:
        """The instance once it is in ``state`` (its ``actual_status``, or "gone")."""
        found: dict[str, Any] = {}

        def reached() -> bool:
            row = self.instance(instance_id)
            found.clear()
            found.update(row or {})
            return (row["actual_status"] if row else "gone") == state

        self.stack.wait_for(reached, f"instance {instance_id} to be {state}", timeout_seconds=timeout_seconds)
        return found

    def rent(self, machine_id: int, num_gpus: int = 1, **body: Any) -> int:
        """Rent a slice of this machine on demand; the instance's number."""
        query = {"machine_id": {"eq": machine_id}, "num_gpus": {"eq": num_gpus}, "verified": {"eq": "any"}}
        (offer,) = self.call("POST", "/bundles/", query)["offers"]
        wish = {"client_id": "me", "disk": 10, "runtype": "ssh", "price": None} | body
        contract: int = self.call("PUT", f"/asks/{offer['id']}/", wish)["new_contract"]
        return contract


def account(stack: Stack, dollars: int = 0) -> Account:
    """A new account."""
    email, password = f"{secrets.token_hex(5)}@example.com", secrets.token_urlsafe(12)
    made = json.loads(stack.shell(_MAKE_ACCOUNT.format(email=email, password=password, dollars=dollars)))
    return Account(stack, made["id"], email, password, made["api_key"], made["token"])


@dataclass(frozen=True)
class HostMachine:
    """A machine on the market and its agent's process."""

    machine_id: int
    host: Account
    agent: ManagedProcess
    name: str


def host_machine(
    stack: Stack,
    name: str,
    *,
    ports: str = "",
    simulate: str = "2x RTX 3090",
    gpu_micros_per_hour: int = 400_000,
    inet_up_micros_per_gb: int = 0,
    within: tuple[str, ...] = (),
) -> HostMachine:
    """A machine whose agent runs, listed and with offers that can be rented."""
    host = account(stack)
    agent = stack.start_agent(name, token=host.token, simulate=simulate, ports=ports, within=within)
    stack.wait_for(lambda: _is_online(stack, host.id), f"agent {name} to come online")
    terms = {"gpu_micros_per_hour": gpu_micros_per_hour, "inet_up_micros_per_gb": inet_up_micros_per_gb}
    machine_id = int(stack.shell(_LIST.format(email=host.email, **terms)))
    return HostMachine(machine_id, host, agent, name)


def _is_online(stack: Stack, host_id: int) -> bool:
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM hosting_machine WHERE host_id = %s AND online", [host_id])
        return cursor.fetchone() is not None


@dataclass(frozen=True)
class SshKeyPair:
    """A client's key."""

    private_file: Path
    public_line: str

    @classmethod
    def make(cls, folder: Path) -> "SshKeyPair":
        """A fresh ed25519 key made by ssh-keygen."""
        file = folder / f"id_{secrets.token_hex(4)}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ann@laptop", "-f", str(file)], check=True)
        return cls(file, file.with_suffix(".pub").read_text().strip())

    def ssh(self, host: str, port: int, command: str, *, attempts: int = 10) -> subprocess.CompletedProcess[str]:
        """Run a command through the real ssh."""
        arguments = self.ssh_command(host, port, command, attempts=attempts)
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)

    def ssh_command(self, host: str, port: int, command: str, *, attempts: int = 10) -> list[str]:
        """The real ssh with this key, to be run. It tries ``attempts`` times to connect, once a second, because the
        relay may learn of a port just now."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=10"]
        options.append(f"ConnectionAttempts={attempts}")
        flags = [part for option in (*options, "LogLevel=ERROR") for part in ("-o", option)]
        return ["ssh", *flags, "-i", str(self.private_file), "-p", str(port), f"root@{host}", command]


def containers_of(stack: Stack, instance_id: int) -> list[str]:
    """Names of the containers of this instance, running or not, made by the agents of this stack."""
    filters = [f"label={OWNER_LABEL}={owner}" for owner in owners_in(stack.directory / "agents")]
    names = []
    for owner in filters:
        shown = ["docker", "ps", "-a", "--filter", owner, "--format", "{{.ID}}"]
        for container in subprocess.run(shown, capture_output=True, text=True, check=True).stdout.split():
            look = ["docker", "inspect", "--format", "{{.Config.Hostname}} {{.Name}}", container]
            hostname, _, name = subprocess.run(look, capture_output=True, text=True, check=False).stdout.partition(" ")
            names += [name.strip()] if hostname == f"C.{instance_id}" else []
    return names


def running_in(stack: Stack, hostname: str) -> bool:
    """Whether a container with this host name, of an agent of this stack, runs now."""
    for owner in owners_in(stack.directory / "agents"):
        shown = ["docker", "ps", "-q", "--filter", f"label={OWNER_LABEL}={owner}"]
        for container in subprocess.run(shown, capture_output=True, text=True, check=True).stdout.split():
            look = ["docker", "inspect", "--format", "{{.Config.Hostname}}", container]
            if subprocess.run(look, capture_output=True, text=True, check=False).stdout.strip() == hostname:
                return True
    return False
