"""A small market for tests: accounts, machines and an agent that lives in the test, all through the real services."""

import itertools
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from agent.protocol import ABILITY_JUPYTER, PROTOCOL_VERSION, GpuFacts, Inventory, ObservedTask, SyncReply, SyncRequest
from agent.register_protocol import RegisterRequest
from agent.volume_protocol import ABILITY_VOLUMES, ObservedVolume
from billing.services import credit_grant
from hosting.domain.listing import ListingTerms
from hosting.models import Machine
from hosting.selectors import desired_state
from hosting.services.install_tokens import install_token_create
from hosting.services.listing import listing_set
from hosting.services.registration import machine_register
from hosting.services.reports import report_receive
from marketplace.domain.rent import RentRequest
from marketplace.models import Offer, User

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DOLLAR = 1_000_000
_numbers = itertools.count(1)


def user(email: str | None = None, dollars: int = 0) -> User:
    """An account, with credit if asked."""
    account = User.objects.create_user(email or f"user{next(_numbers)}-{secrets.token_hex(4)}@example.com", "pass")
    if dollars:
        grant(account, dollars)
    return account


def grant(account: User, dollars: int, now: datetime = T0) -> None:
    """Give credit."""
    credit_grant(
        user=account,
        amount_micros=dollars * DOLLAR,
        actor=None,
        reason="test",
        idempotency_key=f"test:{secrets.token_hex(8)}",
        now=now,
    )


def gpu(index: int = 0, **facts: object) -> GpuFacts:
    """An RTX 3090."""
    values = {
        "uuid": f"GPU-{secrets.token_hex(8)}",
        "index": index,
        "model": "RTX 3090",
        "vram_mb": 24576,
        "compute_capability": "8.6",
        "pci_bus_id": f"0000:0{index}:00.0",
        "pcie_gen": 4,
        "pcie_lanes": 16,
        "power_limit_w": 350,
        "max_temperature_c": 93,
        "memory_bandwidth_gbps": 936.2,
        "fp32_tflops": 35.58,
    } | facts
    return GpuFacts(**values)  # type: ignore[arg-type]  # the dict mixes types by design


def inventory(number: int = 4, **facts: object) -> Inventory:
    """A machine with RTX 3090s."""
    values = {
        "hostname": "rig-1",
        "simulated": True,
        "gpus": [gpu(i) for i in range(number)],
        "driver_version": "550.54.15",
        "cuda_version": "12.4",
        "cpu_name": "AMD EPYC 7302",
        "cpu_arch": "x86_64",
        "cpu_cores": 32,
        "cpu_ghz": 3.0,
        "has_avx": True,
        "ram_mb": 131072,
        "disk_name": "nvme",
        "disk_total_gb": 1000,
        "disk_bandwidth_mbps": 2000.0,
        "inet_up_mbps": 500.0,
        "inet_down_mbps": 800.0,
        "os_name": "Ubuntu",
        "os_version": "22.04",
        "kernel_version": "5.15",
        "motherboard": "ROMED8-2T",
        "engine_version": "20.10",
        "port_first": 21000,
        "port_last": 21099,
        "public_address": "192.0.2.7",
        "geolocation": "Oslo, NO",
    } | facts
    return Inventory(**values)  # type: ignore[arg-type]  # the dict mixes types by design


def register(host: User, facts: Inventory | None = None, now: datetime = T0) -> Machine:
    """A machine of the host, as its agent registers it."""
    _, raw = install_token_create(host=host, now=now)
    request = RegisterRequest(
        protocol=PROTOCOL_VERSION,
        agent_version="test",
        token=raw,
        boot_id=secrets.token_hex(8),
        inventory=facts or inventory(),
    )
    machine, _ = machine_register(request=request, remote_address="198.51.100.1", now=now)
    return machine


def terms(**values: object) -> ListingTerms:
    """Half a dollar a GPU and hour, ten cents a GB and month, for 90 days."""
    defaults = {
        "gpu_micros_per_hour": 500_000,
        "storage_micros_per_gb_month": 100_000,
        "inet_up_micros_per_gb": 10_000,
        "inet_down_micros_per_gb": 10_000,
        "min_gpus": 1,
        "end_at": T0 + timedelta(days=90),
    }
    return ListingTerms(**(defaults | values))  # type: ignore[arg-type]  # the dict mixes types by design


@dataclass
class TestAgent:
    """Reports what the test says and knows what it was told. Runs tasks instantly when asked to ``obey``."""

    __test__ = False

    machine: Machine
    session_id: str = field(default_factory=lambda: secrets.token_hex(8))
    seq: int = 0
    phases: dict[int, ObservedTask] = field(default_factory=dict)
    abilities: list[str] = field(default_factory=lambda: [ABILITY_JUPYTER, ABILITY_VOLUMES])
    volumes: dict[int, ObservedVolume] = field(default_factory=dict)

    def report(self, now: datetime, *observed: ObservedTask, **values: object) -> SyncReply:
        """One sync: everything known, with ``observed`` on top."""
        self.phases |= {o.task_id: o for o in observed}
        self.seq += 1
        plain = SyncRequest(
            protocol=PROTOCOL_VERSION,
            agent_version="test",
            boot_id=self.machine.boot_id,
            session_id=self.session_id,
            session_started_age_seconds=0.0,
            seq=self.seq,
            known_generation=-1,
            hold_seconds=0.0,
            tasks=list(self.phases.values()),
            abilities=self.abilities,
            volumes=list(self.volumes.values()),
        )
        request = msgspec.structs.replace(plain, **values)
        report_receive(machine_id=self.machine.pk, request=request, remote_address="198.51.100.1", now=now)
        reply = desired_state(self.machine.pk)
        told = {task.task_id for task in reply.tasks}
        self.phases = {task_id: o for task_id, o in self.phases.items() if task_id in told}
        listed = {volume.volume_id for volume in reply.volumes or ()}
        self.volumes = {volume_id: o for volume_id, o in self.volumes.items() if volume_id in listed}
        return reply

    def obey(self, now: datetime) -> SyncReply:
        """Bring every task to what is desired, at once, and report it."""
        desired = self.report(now).tasks
        done = [
            ObservedTask(task_id=t.task_id, phase=t.state, run_generation=t.run_generation, age_seconds=0.0)
            for t in desired
        ]
        return self.report(now, *done)

    def keep_volumes(self, now: datetime, **values: object) -> SyncReply:
        """Bring every volume to what is desired, at once, and report it; with ``values`` in each report."""
        for wish in self.report(now).volumes or ():
            seen = ObservedVolume(volume_id=wish.volume_id, state=wish.state)
            self.volumes[wish.volume_id] = msgspec.structs.replace(seen, **values)
        return self.report(now)


def listed_machine(host: User | None = None, now: datetime = T0, gpus: int = 4, **values: object) -> TestAgent:
    """A registered, online and listed machine, with its agent."""
    owner = host or user()
    agent = TestAgent(register(owner, inventory(gpus), now=now))
    agent.report(now)
    listing_set(machine_id=agent.machine.pk, host=owner, terms=terms(**values), now=now)
    return agent


def offer(agent: TestAgent, num_gpus: int = 1) -> Offer:
    """The live offer of this size."""
    return Offer.objects.get(machine=agent.machine, num_gpus=num_gpus, retired_at=None)


def wish(**values: object) -> RentRequest:
    """A modest rent request."""
    return RentRequest(**({"image": "ubuntu:22.04", "disk_gb": 10} | values))  # type: ignore[arg-type]  # mixed dict
