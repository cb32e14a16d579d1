"""What can be expected of a machine's GPUs, by what is known of their model."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from dlperf.catalogue import expected_of
from dlperf.domain.possible import Expected, link_gbps
from dlperf.domain.score import FORMULA_VERSION
from hosting.domain.measuring import SUCCEEDED
from hosting.models import Machine, Measurement

_PCIE_ALONE = ("x86_64", "amd64")
"""Computers whose GPUs reach the memory through PCIe. Others may have a link of their own for that."""


def expected_performance(machine: Machine) -> Expected:
    """By the catalogue, else by what the machine's agent tells. Its GPUs are of one model."""
    gpus = list(machine.gpus.order_by("-present", "index"))
    links = [link_gbps(gpu.pcie_gen, gpu.pcie_lanes) for gpu in gpus if gpu.present]
    is_told = machine.cpu_arch in _PCIE_ALONE and links and all(links)
    return expected_of(
        machine.gpu_name,
        fp32_tflops=gpus[0].fp32_tflops,
        memory_bandwidth_gbps=gpus[0].memory_bandwidth_gbps,
        compute_capability=gpus[0].compute_capability,
        pcie_gbps=max(links) if is_told else None,
    )


def scores_elsewhere(machine: Machine) -> Mapping[int, Sequence[float]]:
    """Latest scores of machines of other hosts with the same model of GPU, by host. None that was not believed."""
    latest = (
        Measurement.objects.filter(
            kind=Measurement.Kind.BENCHMARK,
            state=SUCCEEDED,
            gpu_name=machine.gpu_name,
            simulated=False,
            formula_version=FORMULA_VERSION,
            score__isnull=False,
            is_implausible=False,
        )
        .exclude(machine__host=machine.host_id)
        .order_by("machine_id", "-finished_at", "-pk")
        .distinct("machine_id")
    )
    found: dict[int, list[float]] = defaultdict(list)
    for host_id, score in latest.values_list("machine__host_id", "score"):
        if score is not None:
            found[host_id].append(score)
    return found
