"""How much a challenge asks of a machine, which places of the answer have to be shown, and how long it may take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from agent.protocol import ContainerSpec
from dlperf.challenge.command import challenge_command
from dlperf.challenge.plan import GROUP_ROWS, LAYERS, MOST_STEPS, SCAN_COLUMNS, Kind, Place, Plan
from dlperf.domain.hardware import ATTAINABLE_BANDWIDTH, ATTAINABLE_FP32, ATTAINABLE_TENSOR, Hardware
from hosting.domain.containers import Slice, container_spec
from hosting.domain.findings import Finding

TARGET_SECONDS = 60
"""What a challenge takes on a GPU in good order."""
SIDE, DEPTH, PASSES = 512, 2048, 6
PRODUCTS, FEWER_PRODUCTS, FEWER_BELOW_MB = 128, 32, 20_000
"""Small GPUs are given smaller passes, which leave more of their memory to the buffer."""
SMALL_PLAN = Plan(side=256, depth=256, products=2, passes=3, steps=3, common_steps=1, buffer_rows=4096)
"""On the CPU, for machines whose GPUs are simulated: it shows that everything works."""
COMMON_SHARE = 0.1
"""Of the steps, that all machines with the same question have in common."""
BASE_MB, PRODUCT_MB = 500, 10
"""What torch takes for itself, and for each product of a pass."""
FILLED_SHARE = 0.93
"""Of the memory that a GPU is said to have, less what products need: drivers and displays keep some."""
DISK_GB = 20

PRODUCTS_SHOWN = 3
"""At least; of each GPU one."""
GROUPS_SHOWN = 4
"""At least; of each GPU two."""

WINDOW_MOVES = 11
"""Bytes moved in a GPU's memory for each byte of A: it becomes small integers, then the type that is multiplied."""
ENTRY_MOVES = 39
"""For each entry of a product: it is written, mixed with its place and summed, one operation after the other."""
FILL_MOVES = 50 * LAYERS
CACHED_SHARE = 0.5
"""The most of these moves that a large cache may save."""
BOOST = 1.15
"""The most by which a GPU's clocks go beyond its data sheet."""
SLACK = 2.5
LEAST_FP32_TFLOPS, LEAST_BANDWIDTH_GBPS = 1.0, 50.0
TALK_SECONDS = 10
"""For question and answer to be told."""

TOO_FAST, TOO_SLOW, SLOWER_THAN_BEFORE = "too_fast", "too_slow", "slower_than_before"
TIME_CODES = frozenset({TOO_FAST, TOO_SLOW})
ALL_TIME_CODES = TIME_CODES | {SLOWER_THAN_BEFORE}
HOSTS_THAT_PROVE_BOUNDS = 3
USUAL_AT_MOST = 1.5
"""Times what other hosts' machines of the model usually take."""
CERTAINLY_ALLOWED = 1.2
"""Times the computed usual, whatever others take."""
THROTTLED = 1.5
"""Times its own usual duration."""
USUAL_RUNS = 3


@dataclass(frozen=True)
class Bounds:
    """Seconds that a challenge may take by the server's clock, from the question to the answer.

    ``proved``: other hosts' machines of the model say so, not a formula alone.
    """

    least: float
    most: float
    proved: bool = False


@dataclass(frozen=True)
class _Rates:
    """Operations, and bytes, a second."""

    half: float
    byte: float
    single: float
    moves: float

    def of(self, kind: Kind) -> float:
        return {Kind.HALF: self.half, Kind.BYTE: self.byte, Kind.SINGLE: self.single}[kind]


def plan_for(hardware: Hardware, vram_mb: int, *, simulated: bool) -> Plan:
    """The challenge for GPUs of this kind. Memory counts in whole gigabytes, so that all of a model get the same.

    Raises ValueError for GPUs that are not simulated and whose rates make no sense.
    """
    if simulated:
        return SMALL_PLAN
    if not can_be_challenged(hardware):
        raise ValueError("Nothing can be asked of GPUs whose rates nobody knows.")
    products = PRODUCTS if vram_mb >= FEWER_BELOW_MB else FEWER_PRODUCTS
    filled_mb = vram_mb // 1024 * 1024 * FILLED_SHARE - BASE_MB - products * PRODUCT_MB
    rows = max(int(filled_mb * 2**20) // DEPTH, products * SIDE) // GROUP_ROWS * GROUP_ROWS
    one = Plan(side=SIDE, depth=DEPTH, products=products, passes=PASSES, steps=1, common_steps=1, buffer_rows=rows)
    rates = _attainable(hardware)
    wanted = (TARGET_SECONDS - _fill_seconds(one, rates)) / _step_seconds(one, rates)
    steps = min(max(round(wanted), 2), MOST_STEPS)
    common = max(round(steps * COMMON_SHARE), 1)
    return replace(one, steps=steps - common, common_steps=common)


def can_be_challenged(hardware: Hardware) -> bool:
    """Whether there is anything to reckon with: rates that a GPU from the GTX 10 series on has at the least."""
    return hardware.fp32_tflops >= LEAST_FP32_TFLOPS and hardware.memory_bandwidth_gbps >= LEAST_BANDWIDTH_GBPS


def usual_seconds(plan: Plan, hardware: Hardware) -> float:
    """What a plan takes on a GPU in good order."""
    rates = _attainable(hardware)
    return _fill_seconds(plan, rates) + plan.all_steps * _step_seconds(plan, rates)


def _attainable(hardware: Hardware) -> _Rates:
    half_share = ATTAINABLE_TENSOR if hardware.has_tensor_cores else ATTAINABLE_FP32
    return _rates(hardware, half_share, ATTAINABLE_TENSOR, ATTAINABLE_FP32, ATTAINABLE_BANDWIDTH)


def _rates(hardware: Hardware, half: float, byte: float, single: float, moves: float) -> _Rates:
    return _Rates(
        half=hardware.tensor_tflops * half * 1e12,
        byte=hardware.product_tera_ops("int8") * byte * 1e12,
        single=hardware.fp32_tflops * single * 1e12,
        moves=hardware.memory_bandwidth_gbps * moves * 1e9,
    )


def _step_seconds(plan: Plan, rates: _Rates) -> float:
    each = 2 * plan.window_rows * plan.side * plan.depth
    products = sum(each * plan.passes_of(kind) / rates.of(kind) for kind in Kind)
    pass_bytes = plan.window_rows * (plan.depth * WINDOW_MOVES + plan.side * ENTRY_MOVES)
    scan_bytes = plan.buffer_rows * (plan.depth + SCAN_COLUMNS * ENTRY_MOVES)
    scanning = 2 * SCAN_COLUMNS * plan.buffer_bytes / rates.byte
    return products + scanning + (plan.passes * pass_bytes + scan_bytes) / rates.moves


def _fill_seconds(plan: Plan, rates: _Rates) -> float:
    products = LAYERS * 2 * plan.buffer_bytes * plan.depth / rates.byte
    return products + plan.buffer_bytes * FILL_MOVES / rates.moves


def bounds(plan: Plan, hardware: Hardware, hosts_shares: Sequence[Sequence[float]] = ()) -> Bounds:
    """What GPUs of this kind may take for a plan.

    ``hosts_shares`` are, by host, what other hosts' machines of the model took when they passed, each as a share of the
    usual time of its plan. From three hosts on their median decides how long it may take, if it is possible at all; it
    never is less than a little more than the usual, so that hosts who agree can't make others too slow. Without them it
    is a multiple of the usual; such bounds are computed, so a model whose rates are known badly would cost its first
    honest hosts their name: they are for staff to look at. The least is always what the program's paths allow at their
    peaks.
    """
    peak = _rates(hardware, 1.0, 1.0, 1.0, 1 / (1 - CACHED_SHARE))
    least = (_fill_seconds(plan, peak) + plan.all_steps * _step_seconds(plan, peak)) / BOOST
    usual = usual_seconds(plan, hardware)
    voices = [median(shares) for shares in hosts_shares if shares]
    share = median(voices) if voices else 0.0
    if len(voices) < HOSTS_THAT_PROVE_BOUNDS or not least / usual <= share <= SLACK:
        return Bounds(least=least, most=TALK_SECONDS + SLACK * usual)
    most = max(share * USUAL_AT_MOST, CERTAINLY_ALLOWED) * usual + TALK_SECONDS
    return Bounds(least=least, most=most, proved=True)


def timing_finding(seconds: float, allowed: Bounds) -> Finding | None:
    """Whether it took too short or too long."""
    if seconds < allowed.least:
        evidence = (
            f"The answer came after {seconds:.0f} seconds. GPUs of this model don't have it in less than "
            f"{allowed.least:.0f}: something else computed it."
        )
        return Finding(TOO_FAST, evidence)
    if seconds > allowed.most:
        evidence = (
            f"The answer took {seconds:.0f} seconds. GPUs of this model, all at once, have it in {allowed.most:.0f} "
            "at most: there are fewer, slower or busier GPUs than the machine claims, or less memory."
        )
        return Finding(TOO_SLOW, evidence)
    return None


def throttling_finding(seconds: float, earlier: Sequence[float]) -> Finding | None:
    """Whether it took much longer than the machine's own challenges of the same plan, the latest ones, passed."""
    latest = sorted(earlier[-USUAL_RUNS:])
    if len(latest) < USUAL_RUNS:
        return None
    usual = latest[USUAL_RUNS // 2]
    if seconds - TALK_SECONDS <= usual * THROTTLED:
        return None
    evidence = f"The answer took {seconds:.0f} seconds; this machine usually needs {usual:.0f}."
    return Finding(SLOWER_THAN_BEFORE, evidence)


def places_to_show(plan: Plan, gpus: int, below: Callable[[int], int]) -> list[Place]:
    """Which places of an answer have to be shown: of each GPU a product, and two groups of its memory's rows.

    ``below`` is the chance: a number from 0 on and less than the one that it is given, which nobody can foresee.
    """
    products = [
        Place(number % gpus, below(plan.all_steps), below(plan.passes), below(plan.products))
        for number in range(max(PRODUCTS_SHOWN, gpus))
    ]
    groups = [
        Place(number % gpus, below(plan.all_steps), plan.passes, below(plan.groups))
        for number in range(max(GROUPS_SHOWN, 2 * gpus))
    ]
    return products + groups


def challenge_spec(
    plan: Plan, *, image: str, label: str, gpus: int, simulated: bool, cpu_cores: int, ram_mb: int
) -> ContainerSpec:
    """The container: the whole of a machine of that size, without any network, so that nobody can be asked."""
    program, *args = challenge_command(plan, gpus=gpus, device="cpu" if simulated else "cuda")
    return container_spec(
        part=Slice(gpus=gpus, gpu_count=gpus, cpu_cores=cpu_cores, ram_mb=ram_mb),
        hostname=label,
        image=image,
        mode="args",
        args=args,
        entrypoint=program,
        env={"VAST_CONTAINERLABEL": label, "GPU_COUNT": str(gpus)},
        onstart="",
        disk_gb=DISK_GB,
        ports=[],
        network="none",
    )
