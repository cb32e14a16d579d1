"""What an offer can be searched and sorted by, and the names people know it under."""

import difflib
from collections.abc import Iterable
from enum import Enum, auto

from marketplace.errors import MarketError


class Kind(Enum):
    """How the values of a field compare."""

    NUMBER = auto()
    FLAG = auto()
    TEXT = auto()
    """Letter case of ASCII and "_" for a space make no difference."""
    COUNTRY = auto()
    """The two-letter code that a place ends with."""
    DRIVER = auto()
    """A driver version as one number: 535.86.05 is 535086005."""
    VERSION = auto()
    """Dotted numbers, compared number by number."""


_NUMBERS = """
    id bundle_id machine_id host_id num_gpus gpu_ram gpu_total_ram gpu_frac gpu_lanes gpu_mem_bw gpu_max_power
    gpu_max_temp bw_nvlink compute_cap cuda_max_good total_flops pci_gen pcie_bw cpu_ghz cpu_cores
    cpu_cores_effective cpu_ram disk_space disk_bw inet_up inet_down inet_up_cost inet_down_cost
    internet_up_cost_per_tb internet_down_cost_per_tb direct_port_count storage_cost storage_total_cost
    dph_base dph_total discounted_dph_total discount_rate credit_discount_max min_bid dlperf
    dlperf_fp32 dlperf_fp16 dlperf_bf16 dlperf_int8
    dlperf_per_dphtotal flops_per_dphtotal vram_costperhour score fit reliability reliability_lower duration
    start_date end_date hosting_type vericode geolocode cluster_id avail_vol_ask_id avail_vol_dph avail_vol_size
    nw_disk_min_bw nw_disk_avg_bw nw_disk_max_bw
"""
_FLAGS = """
    rentable rented is_bid external verified datacenter gpu_display_active has_avx static_ip vms_enabled
    is_vm_deverified simulated dlperf_is_estimate
"""
_TEXTS = """
    gpu_name gpu_arch cpu_name cpu_arch disk_name mobo_name hostname public_ipaddr verification resource_type
    sandbox dlperf_source
"""

FIELDS: dict[str, Kind] = (
    dict.fromkeys(_NUMBERS.split(), Kind.NUMBER)
    | dict.fromkeys(_FLAGS.split(), Kind.FLAG)
    | dict.fromkeys(_TEXTS.split(), Kind.TEXT)
    | {"geolocation": Kind.COUNTRY, "driver_version": Kind.DRIVER, "os_version": Kind.VERSION}
)

ALIASES: dict[str, str] = {
    "ask_contract_id": "id",
    "auto": "score",
    "cuda_vers": "cuda_max_good",
    "display_active": "gpu_display_active",
    "dlperf_usd": "dlperf_per_dphtotal",
    "dph": "dph_total",
    "dph_total_adj": "dph_total",
    "dphtotal": "dph_total",
    "driver_vers": "driver_version",
    "expected_reliability": "reliability",
    "flops_usd": "flops_per_dphtotal",
    "gpu_totalram": "gpu_total_ram",
    "reliability2": "reliability",
    "reliability_mult": "reliability",
    "ubuntu_version": "os_version",
}

SCALED: dict[str, tuple[str, float]] = {
    "cpu_ram_GB": ("cpu_ram", 1000.0),
    "gpu_ram_GB": ("gpu_ram", 1000.0),
    "gpu_totalram_GB": ("gpu_total_ram", 1000.0),
    "gpu_total_ram_GB": ("gpu_total_ram", 1000.0),
}
"""Fields given in GB (of 1000 MB, as the clients multiply) whose column counts MB."""

EVERY_OPERATOR = ("eq", "neq", "gt", "gte", "lt", "lte", "in", "notin")
EQUALITY = ("eq", "neq", "in", "notin")
OPERATORS_OF: dict[Kind, tuple[str, ...]] = {
    Kind.NUMBER: EVERY_OPERATOR,
    Kind.DRIVER: EVERY_OPERATOR,
    Kind.VERSION: EVERY_OPERATOR,
    Kind.FLAG: EQUALITY,
    Kind.TEXT: EQUALITY,
    Kind.COUNTRY: EQUALITY,
}

OPERATOR_NAMES: dict[str, str] = {name: name for name in EVERY_OPERATOR} | {
    "=": "eq",
    "==": "eq",
    "!=": "neq",
    "<>": "neq",
    "ne": "neq",
    "noteq": "neq",
    "not eq": "neq",
    ">": "gt",
    ">=": "gte",
    "ge": "gte",
    "<": "lt",
    "<=": "lte",
    "le": "lte",
    "nin": "notin",
    "not in": "notin",
    "not_in": "notin",
}


def invalid(message: str, field: str | None = None) -> MarketError:
    """The refusal of a query."""
    return MarketError("invalid_query", message, status=400, field=field)


def shown(value: object) -> str:
    """A value as messages show it: short, whatever was sent."""
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def suggestion(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names that look like ``name``; empty when none does."""
    close = difflib.get_close_matches(name[:100], list(known), n=3, cutoff=0.55)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def canonical_field(name: str) -> tuple[str, float]:
    """The field behind a name or alias and the factor its values are multiplied by. Raises invalid_query."""
    if name in SCALED:
        return SCALED[name]
    field = ALIASES.get(name, name)
    if field not in FIELDS:
        hint = suggestion(name, [*FIELDS, *ALIASES, *SCALED])
        raise invalid(f"Offers have no field {shown(name)}.{hint}", field=name[:60])
    return field, 1.0


def canonical_operator(name: str, field: str) -> str:
    """The operator behind a name, if the field takes it. Raises invalid_query."""
    operator = OPERATOR_NAMES.get(" ".join(name.lower().split()))
    if operator is None:
        hint = suggestion(name, OPERATOR_NAMES) or f" Operators are {', '.join(EVERY_OPERATOR)}."
        raise invalid(f"{field}: there is no operator {shown(name)}.{hint}", field)
    takes = OPERATORS_OF[FIELDS[field]]
    if operator not in takes:
        raise invalid(f"{field} has no order, so {operator} makes no sense. It takes {', '.join(takes)}.", field)
    return operator
