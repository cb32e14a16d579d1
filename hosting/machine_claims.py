"""What agents say of their machines, and what was measured there, as the rules about contradictions take it."""

from collections.abc import Iterator

import msgspec

from dlperf.catalogue import gpu_models
from dlperf.domain.result import BenchmarkResult
from dlperf.domain.score import is_comparable
from hosting.domain.contradictions import GpuSaid, MachineSaid
from hosting.domain.requirements import Facts, facts_of
from hosting.models import Gpu, Machine
from hosting.selectors import benchmarks_of, usable_gpus


def claims_of(machine: Machine) -> MachineSaid:
    """What the machine's agent says now."""
    return MachineSaid(
        machine_id=machine.pk,
        gpus=tuple(_gpu(gpu) for gpu in machine.gpus.filter(present=True).order_by("index")),
        driver_version=machine.driver_version,
        cuda_version=machine.cuda_version,
        public_address=machine.public_address,
        computer=(
            machine.hostname,
            machine.motherboard,
            machine.cpu_name,
            machine.cpu_cores,
            machine.ram_mb,
            machine.disk_name,
            machine.disk_total_gb,
        ),
    )


def _gpu(gpu: Gpu) -> GpuSaid:
    known = gpu_models().get(gpu.model)
    return GpuSaid(
        uuid=gpu.uuid,
        model=gpu.model,
        vram_mb=gpu.vram_mb,
        compute_capability=gpu.compute_capability,
        memory_bandwidth_gbps=gpu.memory_bandwidth_gbps,
        fp32_tflops=gpu.fp32_tflops,
        pci_bus_id=gpu.pci_bus_id,
        known_vram_gb=known.vram_gb if known else None,
        known_capability=known.compute_capability if known else "",
        known_fp32_tflops=known.fp32_tflops if known else None,
    )


def facts_of_machine(machine: Machine) -> Facts:
    """What its latest report says, as the list of requirements takes it."""
    return facts_of(machine, list(usable_gpus(machine)))


def claims_of_likely_twins(machine: Machine) -> Iterator[MachineSaid]:
    """What is said of the other machines at the same address with the same name."""
    others = Machine.objects.filter(
        public_address=machine.public_address, hostname=machine.hostname, removed_at=None, simulated=False
    )
    return (claims_of(other) for other in others.exclude(pk=machine.pk).order_by("pk"))


def latest_medians(machine: Machine) -> tuple[dict[str, float | None], list[str]]:
    """Rates that the machine's latest benchmark measured, and the GPUs that it saw; nothing without one."""
    run = benchmarks_of(machine).filter(result__isnull=False, finished_at__isnull=False).first()
    if run is None:
        return {}, []
    result = msgspec.convert(run.result, BenchmarkResult)
    if not is_comparable(result):
        return {}, []
    medians = {
        "memory_bandwidth_gbps": result.value("memory_bandwidth_gbps"),
        "gemm_fp32_tflops": result.value("gemm_fp32_tflops"),
    }
    return medians, [device.uuid for device in result.devices]
