"""Offers as rows, straight into the database: for tests of search, which reads nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hosting.models import Machine
from marketplace.models import Offer, User

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def make_user(email: str) -> User:
    return User.objects.get_or_create(email=email, defaults={"password": "!"})[0]


def make_machine(host: User, **facts: Any) -> Machine:
    number = Machine.objects.count() + 1
    defaults = {
        "host": host,
        "simulated": True,
        "boot_id": f"boot-{number}",
        "credential_hash": f"hash-{number}",
        "online": True,
        "hostname": f"rig{number}",
        "gpu_name": "RTX 3090",
        "gpu_count": 4,
        "driver_version": "550.54.15",
        "cuda_version": "12.4",
        "cpu_name": "AMD EPYC 7302",
        "cpu_arch": "amd64",
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
        "motherboard": "H11",
        "engine_version": "27.0",
        "port_first": 40000,
        "port_last": 40099,
        "public_address": "192.0.2.1",
        "registered_at": NOW,
    }
    return Machine.objects.create(**(defaults | facts))


def make_offer(machine: Machine, **facts: Any) -> Offer:
    defaults = {
        "machine": machine,
        "host": machine.host,
        "content_hash": "x",
        "created_at": NOW,
        "rentable": True,
        "rented": False,
        "num_gpus": 1,
        "gpu_name": "RTX 3090",
        "gpu_ram_mb": 24576,
        "gpu_total_ram_mb": 24576,
        "gpu_frac": 0.25,
        "gpu_mem_bw_gbps": 936.2,
        "gpu_lanes": 16,
        "gpu_max_power_w": 350,
        "gpu_max_temp_c": 90,
        "gpu_display_active": False,
        "compute_cap": 860,
        "total_flops_tflops": 35.6,
        "pci_gen": 4,
        "pcie_bw_gbps": 24.5,
        "cuda_max_good": 12.4,
        "driver_version": "550.54.15",
        "driver_vers": 550054015,
        "cpu_name": "AMD EPYC 7302",
        "cpu_arch": "amd64",
        "cpu_ghz": 3.0,
        "has_avx": True,
        "cpu_cores": 32,
        "cpu_cores_effective": 8.0,
        "cpu_ram_mb": 131072,
        "disk_space_gb": 250,
        "disk_bw_mbps": 2000.0,
        "disk_name": "nvme",
        "inet_up_mbps": 500.0,
        "inet_down_mbps": 800.0,
        "direct_port_count": 100,
        "mobo_name": "H11",
        "os_version": "22.04",
        "hostname": "rig",
        "public_ipaddr": "192.0.2.1",
        "geolocation": "Stockholm, SE",
        "country": "SE",
        "hosting_type": 0,
        "simulated": True,
        "dlperf": 33.4,
        "dlperf_is_estimate": False,
        "dlperf_source": "published",
        "dlperf_fp32": 32.1,
        "dlperf_fp16": 45.3,
        "dlperf_bf16": 55.7,
        "dlperf_int8": 36.9,
        "dlperf_int8_is_estimate": True,
        "reliability": 0.97,
        "reliability_lower": 0.94,
        "verification": "verified",
        "gpu_micros_per_hour": 300_000,
        "min_bid_micros_per_hour": 100_000,
        "storage_micros_per_gb_month": 150_000,
        "inet_up_micros_per_gb": 10_000,
        "inet_down_micros_per_gb": 5_000,
        "start_at": NOW - timedelta(days=1),
        "end_at": NOW + timedelta(days=30),
    }
    return Offer.objects.create(**(defaults | facts))
