"""Copies what an agent reports about its hardware into the machine's rows."""

from datetime import datetime
from typing import NamedTuple

import structlog
from django.db import DatabaseError, IntegrityError, transaction

from agent.protocol import GpuFacts, Inventory
from dlperf.catalogue import gpu_models
from hosting.domain import hardware
from hosting.domain.addresses import is_address
from hosting.domain.sandboxes import reported
from hosting.domain.texts import clean
from hosting.errors import HostingError
from hosting.models import Gpu, Machine
from hosting.services.events import machine_event
from hosting.services.machine_past import past_follow
from hosting.services.port_checks import ports_forget

logger = structlog.get_logger(__name__)

_COPIED = (
    "hostname",
    "simulated",
    "driver_version",
    "cuda_version",
    "cpu_name",
    "cpu_arch",
    "cpu_cores",
    "cpu_ghz",
    "has_avx",
    "ram_mb",
    "disk_name",
    "disk_total_gb",
    "disk_bandwidth_mbps",
    "inet_up_mbps",
    "inet_down_mbps",
    "os_name",
    "os_version",
    "kernel_version",
    "motherboard",
    "engine_version",
    "user_namespaces",
    "toolkit_version",
    "port_first",
    "port_last",
)

_VERIFIED = {"gpu_name", "gpu_count", "simulated", "gpus"}
_REACHED_AT = {"public_address", "port_first", "port_last"}


def machine_columns(inventory: Inventory, remote_address: str) -> dict[str, object]:
    """The machine's column values for an inventory; texts are cut to their columns."""
    values: dict[str, object] = {}
    for name in _COPIED:
        value = getattr(inventory, name)
        limit = getattr(Machine._meta.get_field(name), "max_length", None)
        values[name] = clean(value, limit) if isinstance(value, str) else value
    values["gpu_name"] = clean(inventory.gpus[0].model, 80)
    values["gpu_count"] = len(inventory.gpus)
    values["public_address"] = _public_address(inventory.public_address, remote_address)
    values["sandboxes"] = reported(inventory.sandboxes)
    values["geolocation"] = clean(inventory.geolocation or "", 120)
    return values


def _public_address(stated: str | None, remote_address: str) -> str:
    """What is no address is never stored: clients paste it into their shells."""
    return next((address for address in (stated, remote_address) if address and is_address(address)), "")


def inventory_receive(*, machine: Machine, inventory: Inventory, remote_address: str, now: datetime) -> bool:
    """Apply the inventory of a sync to the locked machine; returns whether anything differed.

    One that is not acceptable changes nothing but ``inventory_problem``: the machine gets no new rentals until it
    reports a good one, and what runs on it goes on.
    """
    had_problem = machine.inventory_problem
    try:
        changed = _apply_checked(machine, inventory, remote_address, now)
        problem = ""
    except HostingError as error:
        machine.refresh_from_db()  # the failed attempt left its values on the object
        changed, problem = False, f"The hardware report was refused: {error.message}"
    if problem != had_problem:
        machine.inventory_problem = problem
        machine.save(update_fields=["inventory_problem"])
    if problem and problem != had_problem:
        machine_event(machine, "inventory_refused", now=now, message=problem)
    return changed or problem != had_problem


def _apply_checked(machine: Machine, inventory: Inventory, remote_address: str, now: datetime) -> bool:
    refusal = hardware.refusal(inventory)
    if refusal:
        raise HostingError(*refusal, status=422)
    try:
        with transaction.atomic():
            return inventory_apply(machine=machine, inventory=inventory, remote_address=remote_address, now=now)
    except (DatabaseError, ValueError) as error:
        logger.exception("inventory_failed", machine_id=machine.pk)
        raise HostingError("bad_inventory", "It holds values that can't be stored.", status=422) from error


def inventory_apply(*, machine: Machine, inventory: Inventory, remote_address: str, now: datetime) -> bool:
    """Bring the locked machine and its GPUs to the inventory; returns whether anything differed."""
    columns = machine_columns(inventory, remote_address)
    changed = {name: value for name, value in columns.items() if getattr(machine, name) != value}
    for name, value in changed.items():
        setattr(machine, name, value)
    if changed:
        machine.save(update_fields=list(changed))
    if _REACHED_AT & changed.keys():
        ports_forget(machine)
    gpus = gpus_apply(machine, inventory.gpus)
    _reconsider_verification(machine, {*changed, *(["gpus"] if gpus.others else [])}, now)
    _reconsider_score(machine, changed)
    if changed or gpus.changed:
        machine_event(machine, "inventory", now=now, message="hardware facts changed", columns=sorted(changed))
    past_follow(machine=machine, gpu_uuids=gpus.came, now=now)
    return bool(changed) or gpus.changed


def _reconsider_verification(machine: Machine, changed: set[str], now: datetime) -> None:
    """A verification vouches for the GPUs that were looked at, not for others that took their place, nor for more."""
    swapped = sorted(_VERIFIED & changed)
    if machine.verification != "verified" or not swapped:
        return
    machine.verification = "unverified"
    machine.save(update_fields=["verification"])
    machine_event(machine, "unverified", now=now, message="The GPUs changed after the verification.", columns=swapped)


def _reconsider_score(machine: Machine, changed: dict[str, object]) -> None:
    """Nor does a score say anything about other GPUs than those it was measured on."""
    if machine.measured_scores is not None and _VERIFIED & changed.keys():
        machine.measured_scores = None
        machine.save(update_fields=["measured_scores"])


class GpuNews(NamedTuple):
    """Whether any of a machine's GPU rows changed, and the UUIDs of those that came."""

    changed: bool
    came: list[str]
    others: bool
    """Whether one came, or one is said to be another than it was said to be."""


def gpus_apply(machine: Machine, reported: list[GpuFacts]) -> GpuNews:
    """Bring the machine's GPU rows to what was reported. A GPU no longer reported stays as a row, not present.

    Raises HostingError(gpu_already_registered) when another machine has one of them.
    """
    known = {gpu.uuid: gpu for gpu in machine.gpus.all()}
    gone = [gpu.pk for uuid, gpu in known.items() if gpu.present and uuid not in {g.uuid for g in reported}]
    Gpu.objects.filter(pk__in=gone).update(present=False)
    came = [facts.uuid for facts in reported if facts.uuid not in known or not known[facts.uuid].present]
    others = bool(came) or any(_said_to_be(facts) != _said_to_be(known[facts.uuid]) for facts in reported)
    changed = [_gpu_apply(machine, known.get(facts.uuid), facts) for facts in reported]
    return GpuNews(bool(gone) or any(changed), came, others)


def _said_to_be(gpu: GpuFacts | Gpu) -> tuple[object, ...]:
    """What it is challenged as. Rates of a model that the catalogue has are taken from there."""
    rates = () if gpu.model in gpu_models() else (gpu.fp32_tflops, gpu.memory_bandwidth_gbps)
    return gpu.model, gpu.vram_mb, gpu.compute_capability, rates


def _gpu_apply(machine: Machine, row: Gpu | None, facts: GpuFacts) -> bool:
    values = {name: getattr(facts, name) for name in facts.__struct_fields__} | {"present": True}
    values |= {"model": clean(facts.model, 80), "pci_bus_id": clean(facts.pci_bus_id, 40)}
    if row is not None and all(getattr(row, name) == value for name, value in values.items()):
        return False
    try:
        with transaction.atomic():
            Gpu.objects.update_or_create(machine=machine, uuid=facts.uuid, defaults=values)
    except IntegrityError as error:
        raise HostingError(
            "gpu_already_registered",
            f"GPU {facts.uuid} belongs to another registered machine. Remove that machine first.",
            status=409,
        ) from error
    return True
