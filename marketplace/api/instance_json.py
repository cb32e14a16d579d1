"""How an instance looks in the API."""

from datetime import datetime
from typing import Any

from hosting.connecting import is_only_direct, relay_address
from marketplace.api.usage_json import NO_USAGE, USAGE_COLUMNS
from marketplace.api.volume_json import mount_json
from marketplace.domain import instance_states as states
from marketplace.domain.instance_status import status_of
from marketplace.domain.rent import SSH_PORT
from marketplace.models import Instance
from marketplace.offer_json import MICROS, Quote, hourly_parts, offer_json, row_of

PUBLISHED_ON = "0.0.0.0"  # noqa: S104 - what docker says of a port that is open to the world
UNKNOWN_DISK_USAGE = -1.0

_UNKNOWN_NAMES = """
    credit_balance credit_discount client_run_time host_run_time ssh_idx
"""
_UNKNOWN: dict[str, None] = dict.fromkeys(_UNKNOWN_NAMES.split())
"""Fields of features that don't exist here."""

_HARDWARE_NAMES = """
    gpu_name gpu_arch gpu_ram gpu_frac gpu_lanes gpu_mem_bw bw_nvlink gpu_max_power gpu_max_temp gpu_display_active
    compute_cap cuda_max_good driver_version total_flops pci_gen pcie_bw cpu_name cpu_arch cpu_ghz has_avx cpu_cores
    cpu_cores_effective cpu_ram disk_bw disk_name inet_up inet_down mobo_name os_version hostname hosting_type
    geolocation static_ip simulated sandbox dlperf dlperf_is_estimate dlperf_source dlperf_error resource_type external
    logo webpage bundle_id
"""
_HARDWARE = tuple(_HARDWARE_NAMES.split())
"""What the offer said about the machine when it was rented."""

_OTHER_NAMES = """
    template_id template_hash_id template_name
    id label machine_id host_id num_gpus gpu_totalram gpu_total_ram reliability reliability2 verification rental_type
    is_bid rented start_date end_date duration volume_info actual_status intended_status cur_state next_state status_msg
    state state_since error error_reason exit_code uptime_mins image_uuid image_args image_runtype entrypoint onstart
    jupyter_token onstart_exit_code ssh_host_keys extra_env disk_space disk_usage disk_util public_ipaddr local_ipaddrs
    ssh_host ssh_port machine_dir_ssh_port
    direct_port_count direct_port_start direct_port_end ports dph_base dph_total storage_total_cost storage_cost
    inet_up_cost inet_down_cost min_bid bid_price dlperf_per_dphtotal flops_per_dphtotal search instance
"""
INSTANCE_COLUMNS = (*_UNKNOWN, *USAGE_COLUMNS, *_HARDWARE, *_OTHER_NAMES.split())
"""Every field of an instance; ``ports`` is there only while it runs and its ports can be reached directly.

The client prefers ``ports["22/tcp"]`` to ``ssh_host`` and keeps what it took for ever. So where there is a relay, whose
address never changes, SSH's own port is there only for a client that asked for a direct connection."""


def dollars(micros: int) -> float:
    """Micro-dollars as the API's dollars."""
    return micros / MICROS


def _dollars_or_null(micros: int | None) -> float | None:
    return None if micros is None else dollars(micros)


def instance_json(instance: Instance, now: datetime, usage: dict[str, Any] | None = None) -> dict[str, Any]:
    """The instance object. ``instance`` comes with machine, task, offer and port leases; ``usage`` is what it uses,
    as ``marketplace.api.usage_json`` says it."""
    offer = offer_json(row_of(instance.offer), Quote(now, instance.disk_gb))
    return {
        **_UNKNOWN,
        **(usage or NO_USAGE),
        **{name: offer[name] for name in _HARDWARE},
        **_contract(instance, now),
        **_status(instance, now),
        **_container(instance),
        **_address(instance),
        **_prices(instance),
    }


def _contract(instance: Instance, now: datetime) -> dict[str, Any]:
    machine = instance.machine
    return {
        "id": instance.pk,
        "label": instance.label or None,
        "template_id": instance.template_id,
        "template_hash_id": instance.template_hash or None,
        "template_name": instance.template_name or None,
        "machine_id": instance.machine_id,
        "host_id": machine.host_id,
        "num_gpus": instance.num_gpus,
        "gpu_totalram": instance.offer.gpu_total_ram_mb,
        "gpu_total_ram": instance.offer.gpu_total_ram_mb,
        "reliability": machine.reliability,
        "reliability2": machine.reliability,
        "verification": machine.verification,
        "rental_type": instance.rental_type,
        "is_bid": instance.rental_type == Instance.RentalType.INTERRUPTIBLE,
        "rented": True,
        "start_date": instance.created_at.timestamp(),
        "end_date": instance.end_at.timestamp(),
        "duration": (instance.end_at - now).total_seconds(),
        "volume_info": mount_json(instance.task.volume_mounts.all()),
    }


def _status(instance: Instance, now: datetime) -> dict[str, Any]:
    """The dialect's four statuses, and ``state``, ``error`` and ``error_reason`` in plain words."""
    task = instance.task
    phase = task.observed_phase if task.observed_run_generation == task.run_generation else "unknown"
    status = status_of(instance.state, phase=phase, machine_online=instance.machine.online)
    running = instance.state == states.RUNNING and instance.running_since is not None
    failed = instance.state == states.ERROR
    message = instance.status_message
    return {
        "actual_status": status.actual,
        "intended_status": status.intended,
        "cur_state": status.current,
        "next_state": status.next,
        "status_msg": f"Error: {message}" if failed else message or None,
        "state": instance.state,
        "state_since": instance.state_since.timestamp(),
        "error": (message or "The container could not be started.") if failed else None,
        "error_reason": (task.reason or None) if failed else None,
        "exit_code": task.exit_code if instance.state in (states.EXITED, states.ERROR) else None,
        "uptime_mins": _minutes_since(instance.running_since, now) if running else None,
    }


def _minutes_since(then: datetime | None, now: datetime) -> float | None:
    return None if then is None else max((now - then).total_seconds(), 0.0) / 60


def _container(instance: Instance) -> dict[str, Any]:
    used_mb = instance.task.disk_used_mb
    published = [lease for lease in _leases(instance) if lease.container_port != SSH_PORT]
    return {
        "image_uuid": instance.image,
        "image_args": list(instance.args),
        "image_runtype": instance.runtype,
        "entrypoint": instance.entrypoint or None,
        "onstart": instance.onstart or None,
        "onstart_exit_code": instance.task.onstart_exit_code,
        "jupyter_token": instance.jupyter_token or None,
        "ssh_host_keys": list(instance.task.host_keys),
        "extra_env": [
            *([name, value] for name, value in instance.env.items()),
            *([f"-p {lease.container_port}:{lease.container_port}/{lease.protocol}", "1"] for lease in published),
        ],
        "disk_space": instance.disk_gb,
        "disk_usage": UNKNOWN_DISK_USAGE if used_mb is None else used_mb / 1000,
        "disk_util": UNKNOWN_DISK_USAGE if used_mb is None else used_mb / 1000 / instance.disk_gb,
    }


def _address(instance: Instance) -> dict[str, Any]:
    """Where it can be reached. The client keeps an SSH address for ever, so none is told before there is a port."""
    address, ssh_port = instance.machine.public_address, instance.ssh_port
    relay = relay_address(instance.machine, instance.task, SSH_PORT) if ssh_port else None
    leases = _leases(instance)
    host_ports = [lease.host_port for lease in leases]
    facts: dict[str, Any] = {
        "public_ipaddr": address,
        "local_ipaddrs": "",
        "ssh_host": relay.host if relay else address if ssh_port else None,
        "ssh_port": _as_the_client_counts(instance, relay.port if relay else ssh_port),
        "machine_dir_ssh_port": ssh_port,
        "direct_port_count": len(leases),
        "direct_port_start": min(host_ports, default=None),
        "direct_port_end": max(host_ports, default=None),
    }
    is_direct = instance.machine.is_direct or is_only_direct(instance.machine)
    if instance.state == states.RUNNING and is_direct:
        hidden = SSH_PORT if relay is not None and "direc" not in instance.runtype else None
        facts["ports"] = {
            f"{lease.container_port}/{lease.protocol}": [{"HostIp": PUBLISHED_ON, "HostPort": str(lease.host_port)}]
            for lease in leases
            if lease.container_port != hidden
        }
    return facts


def _as_the_client_counts(instance: Instance, ssh_port: int | None) -> int | None:
    """The client adds one to the port of what it takes for a notebook."""
    return ssh_port - 1 if ssh_port is not None and "jupyter" in instance.runtype else ssh_port


def _leases(instance: Instance) -> list[Any]:
    """Live leases by container port, from what was prefetched."""
    live = [lease for lease in instance.task.port_leases.all() if lease.released_at is None]
    return sorted(live, key=lambda lease: (lease.container_port, lease.protocol))


def _prices(instance: Instance) -> dict[str, Any]:
    """The terms locked at rent time, in dollars."""
    base, storage = dollars(instance.gpu_micros_per_hour), dollars(instance.storage_micros_per_hour)
    total = dollars(instance.gpu_micros_per_hour + instance.storage_micros_per_hour)
    parts = hourly_parts(base, storage, total)
    return {
        "dph_base": base,
        "dph_total": total,
        "storage_total_cost": storage,
        "storage_cost": dollars(instance.storage_micros_per_gb_month),
        "inet_up_cost": dollars(instance.inet_up_micros_per_gb),
        "inet_down_cost": dollars(instance.inet_down_micros_per_gb),
        "min_bid": _dollars_or_null(getattr(instance, "min_bid_now_micros", None)),
        "bid_price": _dollars_or_null(getattr(instance, "bid_newest_micros", instance.bid_micros_per_hour)),
        "dlperf_per_dphtotal": instance.offer.dlperf / total if total else None,
        "flops_per_dphtotal": instance.offer.total_flops_tflops / total if total else None,
        "search": parts,
        "instance": parts,
    }
