"""How an offer looks in the API, from the columns of its row.

The same fields exist as SQL in marketplace/search_columns.py, for conditions and sorting; a test holds the two
equal to the last bit.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, reduce
from operator import add
from typing import Any

from dlperf.catalogue import learned_model
from dlperf.domain.mixes import BALANCED_ADAPTATION, Adaptation
from marketplace.domain.auto_order import NOTHING_ASKED, Asked, score, size_fit, time_fit
from marketplace.domain.offers import HOURS_PER_MONTH
from marketplace.domain.query import Pricing
from marketplace.models import Offer

MICROS = 1_000_000.0
GB_PER_TB = 1024.0
"""The clients show traffic prices per TB of 1024 GB."""

FIXED: dict[str, bool | float | str | None] = {
    "gpu_arch": "nvidia",
    "resource_type": "gpu",
    "external": False,
    "vms_enabled": False,
    "is_vm_deverified": False,
    "discount_rate": 0.0,
    "credit_discount_max": 0.0,
    "static_ip": None,
    "bw_nvlink": None,
    "geolocode": None,
    "cluster_id": None,
    "avail_vol_ask_id": None,
    "avail_vol_dph": None,
    "avail_vol_size": None,
    "nw_disk_min_bw": None,
    "nw_disk_avg_bw": None,
    "nw_disk_max_bw": None,
}
"""Fields that are the same for every offer; None is what nobody knows."""

COPIED: dict[str, str] = {
    "id": "id",
    "ask_contract_id": "id",
    "bundle_id": "machine_id",
    "machine_id": "machine_id",
    "host_id": "host_id",
    "rented": "rented",
    "num_gpus": "num_gpus",
    "gpu_name": "gpu_name",
    "gpu_ram": "gpu_ram_mb",
    "gpu_total_ram": "gpu_total_ram_mb",
    "gpu_frac": "gpu_frac",
    "gpu_lanes": "gpu_lanes",
    "gpu_mem_bw": "gpu_mem_bw_gbps",
    "gpu_max_power": "gpu_max_power_w",
    "gpu_max_temp": "gpu_max_temp_c",
    "gpu_display_active": "gpu_display_active",
    "compute_cap": "compute_cap",
    "cuda_max_good": "cuda_max_good",
    "driver_vers": "driver_vers",
    "total_flops": "total_flops_tflops",
    "pci_gen": "pci_gen",
    "pcie_bw": "pcie_bw_gbps",
    "cpu_ghz": "cpu_ghz",
    "has_avx": "has_avx",
    "cpu_cores": "cpu_cores",
    "cpu_cores_effective": "cpu_cores_effective",
    "cpu_ram": "cpu_ram_mb",
    "disk_space": "disk_space_gb",
    "disk_bw": "disk_bw_mbps",
    "inet_up": "inet_up_mbps",
    "inet_down": "inet_down_mbps",
    "direct_port_count": "direct_port_count",
    "hosting_type": "hosting_type",
    "simulated": "simulated",
    "dlperf": "dlperf",
    "dlperf_is_estimate": "dlperf_is_estimate",
    "dlperf_source": "dlperf_source",
    "dlperf_fp32": "dlperf_fp32",
    "dlperf_fp16": "dlperf_fp16",
    "dlperf_bf16": "dlperf_bf16",
    "dlperf_int8": "dlperf_int8",
    "reliability": "reliability",
    "reliability2": "reliability",
    "reliability_mult": "reliability",
    "reliability_lower": "reliability_lower",
    "expected_reliability": "reliability",
    "verification": "verification",
}
"""Fields that are a column as it is: their names in the API and ours."""

TEXTS = (
    "driver_version",
    "cpu_name",
    "cpu_arch",
    "disk_name",
    "mobo_name",
    "os_version",
    "hostname",
    "public_ipaddr",
    "geolocation",
    "sandbox",
)
"""Texts under one name here and there; an empty one is not known, or there is none."""

PRICES: dict[str, str] = {
    "storage_cost": "storage_micros_per_gb_month",
    "inet_up_cost": "inet_up_micros_per_gb",
    "inet_down_cost": "inet_down_micros_per_gb",
    "min_bid": "min_bid_micros_per_hour",
}
"""Dollars in the API, micro-dollars in the column. The lowest bid is null where no bid would run."""

COLUMNS = (
    *dict.fromkeys(COPIED.values()),
    *TEXTS,
    *PRICES.values(),
    "dlperf_int8_is_estimate",
    "gpu_micros_per_hour",
    "start_at",
    "end_at",
    "rentable",
)


@dataclass(frozen=True)
class Basis:
    """What DLPerf stands for in a search: the columns that it is reckoned from, with their weights, and its error."""

    adapted_to: str | None
    columns: tuple[tuple[str, float], ...]
    has_int8: bool
    median_error: float | None
    largest_error: float | None


def _basis(adaptation: Adaptation) -> Basis:
    error = learned_model().error_of(adaptation.mix)
    return Basis(
        adapted_to=adaptation.name if adaptation.is_any else None,
        columns=tuple((f"dlperf_{name}", weight) for name, weight in adaptation.mix.weights()),
        has_int8=adaptation.mix.int8 > 0,
        median_error=None if error is None else error.median,
        largest_error=None if error is None else error.largest,
    )


@dataclass(frozen=True)
class Quote:
    """What the figures of an offer depend on besides its row: the instant, the disk wanted, the kind of rental, what
    else was asked for, and what DLPerf is to stand for."""

    now: datetime
    storage_gb: float
    pricing: Pricing = Pricing.ON_DEMAND
    asked: Asked = NOTHING_ASKED
    adaptation: Adaptation = BALANCED_ADAPTATION

    @property
    def is_bid(self) -> bool:
        """Whether prices start from the lowest bid that would run now."""
        return self.pricing is Pricing.BID

    @cached_property
    def basis(self) -> Basis:
        """What ``adaptation`` comes to, worked out once for all offers of a search."""
        return _basis(self.adaptation)


def row_of(offer: Offer) -> dict[str, Any]:
    """The ``COLUMNS`` of an offer that was loaded as an object."""
    return {name: getattr(offer, name) for name in COLUMNS}


def offer_json(row: dict[str, Any], quote: Quote) -> dict[str, Any]:
    """The offer object from the ``COLUMNS`` of one row.

    Money is dollars per hour (per GB-month, GB or TB where the name says so), sizes MB (``*_ram``) and GB
    (disk), bandwidths Mb/s (``inet_*``), GB/s (GPU, PCIe) and MB/s (disk), times seconds since 1970.
    """
    offer: dict[str, Any] = {name: row[column] for name, column in COPIED.items()}
    offer |= FIXED
    offer |= {name: row[name] or None for name in TEXTS}
    offer |= {name: _dollars(row[column]) for name, column in PRICES.items()}
    offer["internet_up_cost_per_tb"] = offer["inet_up_cost"] * GB_PER_TB
    offer["internet_down_cost_per_tb"] = offer["inet_down_cost"] * GB_PER_TB
    verified = row["verification"] == "verified"
    offer |= {"verified": verified, "vericode": int(verified), "datacenter": row["hosting_type"] == 1}
    offer |= {"bundled_results": 1, "logo": None, "webpage": None}
    offer |= _performance(row, quote)
    return offer | _times(row, quote) | _hourly_prices(row, quote, offer["dlperf"])


def _performance(row: dict[str, Any], quote: Quote) -> dict[str, Any]:
    """DLPerf as the search asks for it, what it stands for, and how far off estimates like it were found to be.

    ``dlperf_source`` tells whether it is of a run on the machine ("measured"), of published figures of the GPU's model
    or predicted. What was measured is an estimate where a part of it had to be predicted or nothing confirms it yet.
    ``dlperf_error`` is the median and ``dlperf_error_largest`` the largest error, as parts of the score; null for what
    was measured, and for estimates that nothing could be compared with.
    """
    basis = quote.basis
    dlperf, is_estimate = row["dlperf"], row["dlperf_is_estimate"]
    if basis.adapted_to is not None:
        dlperf = reduce(add, [row[column] * weight for column, weight in basis.columns])
        is_estimate = is_estimate or (basis.has_int8 and row["dlperf_int8_is_estimate"])
    return {
        "dlperf": dlperf,
        "dlperf_is_estimate": is_estimate,
        "dlperf_adapted_to": basis.adapted_to,
        "dlperf_error": basis.median_error if is_estimate else None,
        "dlperf_error_largest": basis.largest_error if is_estimate else None,
    }


def _times(row: dict[str, Any], quote: Quote) -> dict[str, Any]:
    end = row["end_at"].timestamp()
    duration = end - quote.now.timestamp()
    remaining = str(timedelta(seconds=max(int(duration), 0)))
    return {
        "rentable": row["rentable"] and row["end_at"] > quote.now,
        "start_date": row["start_at"].timestamp(),
        "end_date": end,
        "duration": duration,
        "time_remaining": "" if quote.is_bid else remaining,
        "time_remaining_isbid": remaining if quote.is_bid else "",
    }


def _hourly_prices(row: dict[str, Any], quote: Quote, dlperf: float) -> dict[str, Any]:
    """DLPerf, TFLOPS and dollars are those of the whole offer, so their ratios compare offers of any size.

    ``score``, the default order, and its part ``fit`` are those of ``marketplace.domain.auto_order``.
    """
    base = _dollars(row["min_bid_micros_per_hour" if quote.is_bid else "gpu_micros_per_hour"])
    storage = row["storage_micros_per_gb_month"] / MICROS * quote.storage_gb / float(HOURS_PER_MONTH)
    total = None if base is None else base + storage
    value = _ratio(dlperf, total)
    parts = hourly_parts(base, storage, total)
    duration = row["end_at"].timestamp() - quote.now.timestamp()
    fit = size_fit(row["num_gpus"], quote.asked) * time_fit(duration, quote.asked)
    return {
        "is_bid": quote.is_bid,
        "dph_base": base,
        "storage_total_cost": storage,
        "dph_total": total,
        "dph_total_adj": total,
        "discounted_dph_total": total,
        "discounted_hourly": 0.0,
        "dlperf_per_dphtotal": value,
        "flops_per_dphtotal": _ratio(row["total_flops_tflops"], total),
        "vram_costperhour": _ratio(total, row["gpu_total_ram_mb"]),
        "fit": fit,
        "score": score(value, row["reliability_lower"], fit),
        "search": parts,
        "instance": parts,
    }


def hourly_parts(base: float | None, storage: float, total: float | None) -> dict[str, float | None]:
    """The dollars an hour in parts, as the clients read them."""
    return {
        "gpuCostPerHour": base,
        "diskHour": storage,
        "totalHour": total,
        "discountTotalHour": 0.0,
        "discountedTotalPerHour": total,
    }


def _dollars(micros: int | None) -> float | None:
    return None if micros is None else micros / MICROS


def _ratio(upper: float | None, lower: float | None) -> float | None:
    return upper / lower if upper is not None and lower else None
