"""How a host's machine looks in the API."""

from collections.abc import Iterable, Mapping
from typing import Any

from hosting.models import Gpu, IdleJob, Listing, Machine
from hosting.selectors import bid_floor_micros
from hosting.telemetry import MachineNow
from marketplace.api.usage_json import gpu_rows, machine_usage
from marketplace.domain.offers import cuda_number, driver_number
from marketplace.models import Instance
from marketplace.offer_json import MICROS

_TERM_NAMES = """
    listed_gpu_cost listed_storage_cost listed_inet_up_cost listed_inet_down_cost min_bid_price listed_min_gpu_count
    end_date start_date listed_sandbox
"""


def machine_json(
    machine: Machine,
    gpus: Iterable[Gpu],
    rental_types: Mapping[int, str | None],
    now: MachineNow | None = None,
    open_reports: int = 0,
) -> dict[str, Any]:
    """The machine object. Prices are dollars per GPU-hour, GB-month and GB; null while it is not listed.

    ``rental_types`` has the GPUs that are rented, by id; ``now`` is how the machine is, where that is known.
    ``floor_price`` is the least bid: the higher one of ``min_bid_price`` and the idle job's price.
    """
    present = [gpu for gpu in gpus if gpu.present]
    return {
        "id": machine.pk,
        "machine_id": machine.pk,
        "host_id": machine.host_id,
        "hostname": machine.hostname,
        "online": machine.online,
        "error_description": machine.engine_error or None,
        "simulated": machine.simulated,
        "num_gpus": machine.gpu_count,
        "gpu_name": machine.gpu_name,
        "gpu_ram": present[0].vram_mb if present else None,
        "gpu_occupancy": " ".join(_occupancy(gpu, rental_types) for gpu in present),
        "cpu_name": machine.cpu_name,
        "cpu_cores": machine.cpu_cores,
        "cpu_ram": machine.ram_mb,
        "disk_space": machine.disk_total_gb,
        "disk_name": machine.disk_name,
        "disk_bw": machine.disk_bandwidth_mbps,
        "inet_up": machine.inet_up_mbps,
        "inet_down": machine.inet_down_mbps,
        "driver_version": machine.driver_version,
        "driver_vers": driver_number(machine.driver_version),
        "cuda_max_good": cuda_number(machine.cuda_version),
        "os_version": machine.os_version,
        "sandboxes": [name for name, obstacle in machine.sandboxes.items() if not obstacle],
        "user_namespaces": machine.user_namespaces,
        "public_ipaddr": machine.public_address,
        "direct_port_count": machine.direct_port_count,
        "geolocation": machine.geolocation or None,
        "reliability": machine.reliability,
        "reliability2": machine.reliability,
        "reliability_lower": machine.reliability_lower,
        "verification": machine.verification,
        "num_reports": open_reports,
        "gpus": gpu_rows(sorted(present, key=lambda gpu: gpu.index), now),
        **machine_usage(now),
        "idle_job": _idle_job(getattr(machine, "idle_job", None)),
        "floor_price": bid_floor_micros(machine) / MICROS,
        **_listing(getattr(machine, "listing", None)),
    }


def _occupancy(gpu: Gpu, rental_types: Mapping[int, str | None]) -> str:
    """One letter per GPU: D rented on demand, I by a bid, x free (an idle job may run on it), E not usable."""
    if gpu.pk in rental_types:
        return "I" if rental_types[gpu.pk] == Instance.RentalType.INTERRUPTIBLE else "D"
    return "E" if gpu.unhealthy_reason else "x"


def _idle_job(job: IdleJob | None) -> dict[str, Any] | None:
    if job is None or not job.active:
        return None
    return {"image": job.image, "args": job.args, "price": job.price_micros_per_gpu_hour / MICROS}


def _listing(listing: Listing | None) -> dict[str, Any]:
    active = listing is not None and listing.active
    terms: dict[str, Any] = dict.fromkeys(_TERM_NAMES.split())
    if listing is not None and active:
        terms = {
            "listed_gpu_cost": listing.gpu_micros_per_hour / MICROS,
            "listed_storage_cost": listing.storage_micros_per_gb_month / MICROS,
            "listed_inet_up_cost": listing.inet_up_micros_per_gb / MICROS,
            "listed_inet_down_cost": listing.inet_down_micros_per_gb / MICROS,
            "min_bid_price": listing.min_bid_micros_per_gpu_hour / MICROS,
            "listed_min_gpu_count": listing.min_gpus,
            "end_date": listing.end_at.timestamp(),
            "start_date": listing.listed_at.timestamp(),
            "listed_sandbox": listing.sandbox,
        }
    return {"listed": active, "credit_discount_max": 0.0, **terms}
