"""Keeps the offers of a machine equal to what it can rent out, in the transaction that changes it."""

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Subquery, Sum

from dlperf.domain.mixes import PRECISIONS
from hosting.domain.hardware import capability
from hosting.domain.sandboxes import NONE, sandbox_problem
from hosting.models import Gpu, Listing, Machine
from hosting.selectors import gpu_scores_of, score_source_of, usable_gpus
from hosting.volumes import volumes_given_gb
from marketplace.domain import offers as shape
from marketplace.models import Instance, Offer

LIVE = ("min_bid_micros_per_hour", "disk_space_gb", "reliability", "reliability_lower")
"""Columns of an offer that follow in place: whoever has its id may still rent it at its terms."""


def offers_refresh(*, machine: Machine, quotes: Mapping[int, int | None], now: datetime) -> None:
    """Bring the live offers of the locked machine to its present terms and availability.

    ``quotes`` are the auction's, by GPU count; a size without one can't be rented now. A slice whose content is
    unchanged keeps its offer, which follows the market in ``LIVE`` columns only; any other is retired and replaced
    under a new id.
    """
    wanted = _wanted(machine, quotes, now)
    live = {offer.num_gpus: offer for offer in Offer.objects.filter(machine=machine, retired_at=None)}
    outdated = [
        offer.pk
        for size, offer in live.items()
        if size not in wanted or offer.content_hash != wanted[size]["content_hash"]
    ]
    if outdated:
        Offer.objects.filter(pk__in=outdated).update(retired_at=now, rentable=False)
    for size in live.keys() & wanted.keys():
        _follow(live[size], wanted[size], outdated)
    Offer.objects.bulk_create(
        [
            Offer(created_at=now, **content)
            for size, content in wanted.items()
            if size not in live or live[size].pk in outdated
        ]
    )


def _follow(offer: Offer, wanted: dict[str, Any], outdated: list[int]) -> None:
    changed = {name: wanted[name] for name in LIVE if getattr(offer, name) != wanted[name]}
    if changed and offer.pk not in outdated:
        Offer.objects.filter(pk=offer.pk).update(**changed)


def offers_follow_reliability(*, machine_ids: Collection[int]) -> int:
    """Bring the live offers of these locked machines to their machines' reliability; returns how many there are."""
    own = Machine.objects.filter(pk=OuterRef("machine_id"))
    return Offer.objects.filter(machine_id__in=machine_ids, retired_at=None).update(
        reliability=Subquery(own.values("reliability")), reliability_lower=Subquery(own.values("reliability_lower"))
    )


def offer_consume(*, offer: Offer, now: datetime) -> None:
    """Retire the offer that was just rented, even if its slice could be rented once more: an id is sold once."""
    offer.retired_at = now
    offer.rentable = False
    offer.save(update_fields=["retired_at", "rentable"])


def _wanted(machine: Machine, quotes: Mapping[int, int | None], now: datetime) -> dict[int, dict[str, Any]]:
    listing = Listing.objects.filter(machine=machine, active=True, end_at__gt=now).first()
    gpus = list(usable_gpus(machine))
    if listing is None or not gpus or machine.removed_at is not None or machine.suspended_at is not None:
        return {}
    if sandbox_problem(listing.sandbox, machine.sandboxes):
        return {}  # what was promised is not to be had any more, or not yet again
    disk_given_gb = disk_given(machine)
    facts = _machine_facts(machine, listing, gpus)
    return {
        size: _sealed(
            facts | _slice_facts(machine, listing, gpus, size, disk_given_gb),
            quotes.get(size),
            rented=size in quotes and quotes[size] is None,
        )
        for size in shape.slice_sizes(len(gpus), listing.min_gpus)
    }


def disk_given(machine: Machine) -> int:
    """Gigabytes of the machine's disk that live instances, running or not, and volumes hold. Idle jobs are the host's
    own affair."""
    live = Instance.objects.filter(machine=machine, task__removed_at=None)
    return (live.aggregate(total=Sum("disk_gb"))["total"] or 0) + volumes_given_gb(machine)


def _sealed(content: dict[str, Any], least_bid: int | None, *, rented: bool) -> dict[str, Any]:
    """The offer's row. It can be rented on demand wherever a bid could win: on-demand rentals displace bids."""
    rentable = least_bid is not None and content["disk_space_gb"] > 0
    content |= {"rentable": rentable, "rented": rented}
    terms = {name: value for name, value in content.items() if name not in LIVE}
    digest = hashlib.sha256(json.dumps(terms, sort_keys=True, default=str).encode()).hexdigest()
    return content | {"content_hash": digest, "min_bid_micros_per_hour": least_bid if rentable else None}


def _machine_facts(machine: Machine, listing: Listing, gpus: list[Gpu]) -> dict[str, Any]:
    gpu = gpus[0]
    major, minor = capability(gpu.compute_capability)
    return {
        "machine_id": machine.pk,
        "host_id": machine.host_id,
        "gpu_name": machine.gpu_name,
        "gpu_ram_mb": gpu.vram_mb,
        "gpu_mem_bw_gbps": gpu.memory_bandwidth_gbps,
        "gpu_lanes": gpu.pcie_lanes,
        "gpu_max_power_w": gpu.power_limit_w,
        "gpu_max_temp_c": gpu.max_temperature_c,
        "gpu_display_active": any(g.display_active for g in gpus),
        "compute_cap": major * 100 + minor * 10,
        "pci_gen": gpu.pcie_gen,
        "pcie_bw_gbps": shape.pcie_bandwidth_gbps(gpu.pcie_gen, gpu.pcie_lanes),
        "cuda_max_good": shape.cuda_number(machine.cuda_version),
        "driver_version": machine.driver_version,
        "driver_vers": shape.driver_number(machine.driver_version),
        "cpu_name": machine.cpu_name,
        "cpu_arch": machine.cpu_arch,
        "cpu_ghz": machine.cpu_ghz,
        "has_avx": machine.has_avx,
        "cpu_cores": machine.cpu_cores,
        "cpu_ram_mb": machine.ram_mb,
        "disk_bw_mbps": machine.disk_bandwidth_mbps,
        "disk_name": machine.disk_name,
        "inet_up_mbps": machine.inet_up_mbps,
        "inet_down_mbps": machine.inet_down_mbps,
        "direct_port_count": machine.direct_port_count,
        "mobo_name": machine.motherboard,
        "os_version": machine.os_version,
        "hostname": machine.hostname,
        "public_ipaddr": machine.public_address,
        "geolocation": machine.geolocation,
        "country": shape.country_of(machine.geolocation),
        "hosting_type": int(machine.is_datacenter),
        "simulated": machine.simulated,
        "reliability": machine.reliability,
        "reliability_lower": machine.reliability_lower,
        "verification": machine.verification,
        "storage_micros_per_gb_month": listing.storage_micros_per_gb_month,
        "inet_up_micros_per_gb": listing.inet_up_micros_per_gb,
        "inet_down_micros_per_gb": listing.inet_down_micros_per_gb,
        "start_at": listing.listed_at,
        "end_at": listing.end_at,
        "sandbox": "" if listing.sandbox == NONE else listing.sandbox,
    }


def _slice_facts(machine: Machine, listing: Listing, gpus: list[Gpu], size: int, disk_given_gb: int) -> dict[str, Any]:
    gpu = gpus[0]
    share = size / len(gpus)
    return {
        "num_gpus": size,
        "gpu_frac": share,
        "gpu_total_ram_mb": gpu.vram_mb * size,
        "total_flops_tflops": round(gpu.fp32_tflops * size, 2),
        "cpu_cores_effective": machine.cpu_cores * share,
        "disk_space_gb": shape.disk_share_gb(machine.disk_total_gb, disk_given_gb, size, len(gpus)),
        "gpu_micros_per_hour": listing.gpu_micros_per_hour * size,
        **_scores(machine, gpu, size),
    }


def _scores(machine: Machine, gpu: Gpu, size: int) -> dict[str, Any]:
    """DLPerf of the slice, and what searches adapt it from."""
    scores = gpu_scores_of(machine, gpu)
    return {
        "dlperf": round(scores.balanced.value * size, 1),
        "dlperf_is_estimate": scores.balanced.is_estimate,
        "dlperf_source": score_source_of(machine, scores),
        **{f"dlperf_{name}": round(getattr(scores, name).value * size, 1) for name in PRECISIONS},
        "dlperf_int8_is_estimate": scores.int8.is_estimate,
    }
