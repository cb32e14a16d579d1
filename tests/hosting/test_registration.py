"""An agent joins: who may, who may not, and what happens when the message comes twice."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent.protocol import PROTOCOL_VERSION, GpuFacts, Inventory
from agent.register_protocol import RegisterRequest
from hosting.errors import HostingError
from hosting.models import Gpu, Machine
from hosting.selectors import machine_by_credential
from hosting.services.install_tokens import install_token_create, install_token_revoke
from hosting.services.listing import listing_set
from hosting.services.registration import machine_register
from marketplace.models import Instance, Offer, User
from marketplace.web.instance_view import InstanceView
from tests.plumbing import market
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db


def request(token: str, **values: Any) -> RegisterRequest:
    plain = RegisterRequest(
        protocol=PROTOCOL_VERSION, agent_version="0.1", token=token, boot_id="boot-1", inventory=market.inventory(2)
    )
    return msgspec.structs.replace(plain, **values)


def register(message: RegisterRequest, now: datetime = T0) -> tuple[Machine, str]:
    return machine_register(request=message, remote_address="198.51.100.1", now=now)


@pytest.fixture
def host() -> User:
    return market.user()


@pytest.fixture
def token(host: User) -> str:
    return install_token_create(host=host, now=T0)[1]


def test_registration_stores_the_hardware_and_gives_a_credential(host: User, token: str) -> None:
    machine, credential = register(request(token))
    assert (machine.host, machine.gpu_name, machine.gpu_count, machine.online) == (host, "RTX 3090", 2, False)
    assert machine.public_address == "192.0.2.7"
    assert machine_by_credential(credential) == machine
    assert credential not in Machine.objects.values_list("credential_hash", flat=True)
    assert Gpu.objects.filter(machine=machine, present=True).count() == 2


def test_the_address_the_agent_dials_from_stands_in_for_an_unstated_one(token: str) -> None:
    machine, _ = register(request(token, inventory=market.inventory(1, public_address=None)))
    assert machine.public_address == "198.51.100.1"


@pytest.mark.parametrize("address", ["gpu-7.example.com", "203.0.113.9", "2001:db8::7", "rig"])
def test_addresses_and_host_names_are_taken_as_stated(token: str, address: str) -> None:
    machine, _ = register(request(token, inventory=market.inventory(1, public_address=address)))
    assert machine.public_address == address


def test_commands_for_shells_quote_the_address(token: str) -> None:
    machine, _ = register(request(token))
    machine.public_address = "x; id"  # as if it had slipped past all checks
    view = InstanceView(
        instance=Instance(machine=machine, ssh_port=21000),
        label="",
        tone="",
        sentence="",
        progress_percent=None,
        cost_micros=0,
        micros_per_hour=0,
        now=T0,
    )
    (way,) = view.ways
    assert "'root@x; id'" in way.ssh_command
    assert "'root@x; id'" in way.scp_up_command
    assert "'root@x; id':/root/" in way.rsync_command
    assert "'root@x; id':/root/" in way.scp_down_command


def test_a_repeated_registration_is_the_same_machine_with_a_new_credential(token: str) -> None:
    message = request(token)
    first, old = register(message)
    second, new = register(message, now=T0 + timedelta(days=30))
    assert (first.pk, Machine.objects.count()) == (second.pk, 1)
    assert machine_by_credential(old) is None
    assert machine_by_credential(new) == first


def test_a_used_token_registers_no_second_machine(token: str) -> None:
    register(request(token))
    with pytest.raises(HostingError) as refused:
        register(request(token, boot_id="boot-2", inventory=market.inventory(1)))
    assert (refused.value.code, refused.value.status) == ("token_used", 409)
    assert Machine.objects.count() == 1


def test_wrong_revoked_and_expired_tokens_are_refused(host: User, token: str) -> None:
    with pytest.raises(HostingError) as wrong:
        register(request("syi_wrong"))
    assert (wrong.value.code, wrong.value.status) == ("bad_token", 401)
    with pytest.raises(HostingError) as expired:
        register(request(token), now=T0 + timedelta(days=8))
    assert expired.value.code == "token_expired"
    row, raw = install_token_create(host=host, now=T0)
    install_token_revoke(host=host, token_id=row.pk, now=T0)
    with pytest.raises(HostingError) as revoked:
        register(request(raw))
    assert revoked.value.code == "bad_token"


@pytest.mark.parametrize(
    ("facts", "code", "words"),
    [
        ({"gpus": [market.gpu(model="GTX 980", compute_capability="5.2")]}, "hardware_too_old", "GTX 10xx"),
        ({"gpus": []}, "no_gpu", "nvidia-smi"),
        ({"gpus": [market.gpu(), market.gpu(1, model="RTX 4090")]}, "mixed_gpus", "RTX 3090, RTX 4090"),
        ({"gpus": [market.gpu(compute_capability="new")]}, "bad_inventory", "'new'"),
        ({"disk_total_gb": 3}, "disk_too_small", "10 GB"),
        ({"gpus": [market.gpu(compute_capability="²")]}, "bad_inventory", "'²'"),
        ({"gpus": [market.gpu(i) for i in range(17)]}, "too_many_gpus", "at most 16"),
        ({"gpus": [market.gpu(0, uuid="GPU-1"), market.gpu(1, uuid="GPU-1")]}, "bad_inventory", "same UUID"),
        ({"gpus": [market.gpu(uuid="")]}, "bad_inventory", "no proper UUID"),
        ({"gpus": [market.gpu(uuid="G" * 81)]}, "bad_inventory", "no proper UUID"),
        ({"gpus": [market.gpu(model="\x00")]}, "bad_inventory", "no model name"),
        ({"gpus": [market.gpu(vram_mb=0)]}, "bad_inventory", "vram_mb = 0"),
        ({"gpus": [market.gpu(vram_mb=2**40)]}, "bad_inventory", "vram_mb"),
        ({"gpus": [market.gpu(fp32_tflops=float("inf"))]}, "bad_inventory", "fp32_tflops"),
        ({"cpu_cores": 0}, "bad_inventory", "cpu_cores = 0"),
        ({"ram_mb": 2**31}, "bad_inventory", "ram_mb"),
        ({"disk_total_gb": 2**31}, "bad_inventory", "disk_total_gb"),
        ({"inet_up_mbps": -1.0}, "bad_inventory", "inet_up_mbps = -1"),
        ({"inet_down_mbps": float("nan")}, "bad_inventory", "inet_down_mbps"),
        ({"port_first": 1, "port_last": 70000}, "bad_port_range", "1-70000"),
        ({"public_address": "1.2.3.4; rm -rf ~"}, "bad_public_address", "neither an IP address"),
        ({"public_address": "fe80::1%$(id)"}, "bad_public_address", "neither an IP address"),
        ({"public_address": "-oProxyCommand=id"}, "bad_public_address", "neither an IP address"),
        ({"port_first": 9, "port_last": 8}, "bad_port_range", "9-8"),
    ],
)
def test_unfit_hardware_is_refused_with_the_reason_and_leaves_the_token_usable(
    token: str, facts: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(HostingError) as refused:
        register(request(token, inventory=msgspec.structs.replace(market.inventory(1), **facts)))
    assert (refused.value.code, refused.value.status) == (code, 422)
    assert words in refused.value.message
    assert Machine.objects.count() == 0
    assert register(request(token))[0].pk


def test_another_protocol_is_refused_by_version(token: str) -> None:
    with pytest.raises(HostingError) as refused:
        register(request(token, protocol=99))
    assert (refused.value.code, refused.value.status) == ("unsupported_protocol", 426)


def test_a_gpu_belongs_to_one_machine(host: User, token: str) -> None:
    gpus = [market.gpu()]
    register(request(token, inventory=_with(gpus)))
    _, other = install_token_create(host=host, now=T0)
    with pytest.raises(HostingError) as refused:
        register(request(other, boot_id="boot-2", inventory=_with(gpus)))
    assert refused.value.code == "gpu_already_registered"


def _with(gpus: list[GpuFacts]) -> Inventory:
    return msgspec.structs.replace(market.inventory(1), gpus=gpus)


def test_a_repeated_registration_brings_the_offers_to_the_new_hardware(host: User, token: str) -> None:
    machine, _ = register(request(token))
    agent = market.TestAgent(machine)
    agent.report(T0)
    listing_set(machine_id=machine.pk, host=host, terms=market.terms(), now=T0)
    register(request(token, inventory=market.inventory(4, hostname="rig-9")))
    live = Offer.objects.filter(machine=machine, retired_at=None)
    assert sorted(live.values_list("num_gpus", flat=True)) == [1, 2, 4]
    assert Machine.objects.get(pk=machine.pk).online


def test_a_repeated_registration_locks_the_machine_before_it_writes(token: str) -> None:
    register(request(token))
    with CaptureQueriesContext(connection) as queries:
        register(request(token, inventory=market.inventory(4)))
    statements = [q["sql"] for q in queries]
    locked = next(n for n, sql in enumerate(statements) if 'FROM "hosting_machine"' in sql and "FOR UPDATE" in sql)
    written = [n for n, sql in enumerate(statements) if sql.startswith('UPDATE "hosting_machine"')]
    assert locked < min(written)
    assert not any('"session_seq" =' in statements[n] for n in written)
