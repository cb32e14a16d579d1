"""Verification of machines by challenges: how much is asked, how long it may take, when it is due, what follows.

Everything here is tables and arithmetic; randomness and the time are arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.protocol import ContainerSpec
from dlperf.challenge.command import challenge_command
from dlperf.challenge.plan import MOST_STEPS, Kind, Plan
from dlperf.challenge.transcript import MAX_TRANSCRIPT_BYTES
from dlperf.domain.hardware import ATTAINABLE_BANDWIDTH, ATTAINABLE_FP32, ATTAINABLE_TENSOR, Hardware
from hosting.domain.containers import Slice, container_spec

TARGET_SECONDS = 60
"""What a challenge takes on a GPU in good order."""
WIDTH, DEPTH, PASSES = 8192, 2048, 24
SMALL_PLAN = Plan(width=256, depth=256, steps=4, passes=3, buffer_rows=4096)
"""On the CPU, for machines whose GPUs are simulated: it shows that everything works."""
WORKING_MB = 2_500
FILLED_SHARE = 0.85
"""Of the memory that a GPU is said to have, less what products, the driver and the display need."""
DISK_GB = 20

ENTRY_BYTES = 84
"""Moved in a GPU's memory for each entry of a product: it is written, mixed in place and summed, one operation after
the other."""
CACHED_SHARE = 0.5
"""The most of these moves that a large cache may save."""
BOOST = 1.15
"""The most by which a GPU's clocks go beyond its data sheet."""
SLACK = 2.5
START_SECONDS = 90
"""From the order to the first product: the container begins, torch is loaded."""

TOO_FAST, TOO_SLOW = "too_fast", "too_slow"
TIME_CODES = frozenset({TOO_FAST, TOO_SLOW})
HOSTS_THAT_PROVE_BOUNDS = 2
WRONG_ANSWER, NO_ANSWER, OUTVOTED = "wrong_answer", "no_answer", "outvoted"
SLOWER_THAN_BEFORE = "slower_than_before"
THROTTLED = 1.3
"""Times its own usual duration."""
USUAL_RUNS = 3


@dataclass(frozen=True)
class Finding:
    """Something that does not fit, with the evidence in plain words."""

    code: str
    evidence: str


@dataclass(frozen=True)
class Bounds:
    """Seconds that a challenge may take by the server's clock, from the order to the answer."""

    least: float
    most: float


def plan_for(hardware: Hardware, vram_mb: int, *, simulated: bool) -> Plan:
    """The challenge for GPUs of this kind. Memory counts in whole gigabytes, so that all of a model get the same."""
    if simulated or not hardware.is_known:
        return SMALL_PLAN
    filled_mb = vram_mb // 1024 * 1024 * FILLED_SHARE - WORKING_MB
    rows = max(int(filled_mb * 2**20) // DEPTH, WIDTH)
    one = Plan(width=WIDTH, depth=DEPTH, steps=1, passes=PASSES, buffer_rows=rows)
    steps = round(TARGET_SECONDS / usual_seconds(one, hardware))
    return Plan(width=WIDTH, depth=DEPTH, steps=min(max(steps, 1), MOST_STEPS), passes=PASSES, buffer_rows=rows)


def usual_seconds(plan: Plan, hardware: Hardware) -> float:
    """What the products and moves of a plan take on a GPU in good order."""
    products = _product_seconds(plan, hardware, ATTAINABLE_TENSOR, ATTAINABLE_FP32)
    return products + _move_seconds(plan, hardware) / ATTAINABLE_BANDWIDTH


def bounds(plan: Plan, hardware: Hardware) -> Bounds:
    """The least is what the paths that the program takes allow at their peaks, the most a multiple of the usual.

    A machine that answers sooner has not computed it as it says; one that answers later has less than it says.
    """
    peak = _product_seconds(plan, hardware, 1.0, 1.0) + _move_seconds(plan, hardware) * (1 - CACHED_SHARE)
    return Bounds(least=peak / BOOST, most=START_SECONDS + SLACK * usual_seconds(plan, hardware))


def bounds_hold(other_hosts: int) -> bool:
    """Whether the bounds of a model have consequences: that many other hosts' machines of the model have kept them.

    They are computed, so a model whose rates are known badly would otherwise cost its first honest hosts their name.
    """
    return other_hosts >= HOSTS_THAT_PROVE_BOUNDS


def _product_seconds(plan: Plan, hardware: Hardware, tensor_share: float, single_share: float) -> float:
    half = hardware.tensor_tflops * (tensor_share if hardware.has_tensor_cores else single_share)
    rates = {
        Kind.HALF: half,
        Kind.BYTE: hardware.product_tera_ops("int8") * tensor_share,
        Kind.SINGLE: hardware.fp32_tflops * single_share,
    }
    return sum(count / rates[kind] for kind, count in plan.operations.items()) / 1e12


def _move_seconds(plan: Plan, hardware: Hardware) -> float:
    moved = plan.width * plan.width * ENTRY_BYTES * plan.passes * plan.steps
    return moved / hardware.memory_bandwidth_gbps / 1e9


def timing_finding(seconds: float, allowed: Bounds) -> Finding | None:
    """Whether it took too short or too long."""
    if seconds < allowed.least:
        evidence = (
            f"The answer came after {seconds:.0f} seconds. GPUs of this model can't have it in less than "
            f"{allowed.least:.0f}, even at their peak: something else computed it."
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
    if seconds - START_SECONDS / 3 <= usual * THROTTLED:
        return None
    evidence = f"The answer took {seconds:.0f} seconds; this machine usually needs {usual:.0f}."
    return Finding(SLOWER_THAN_BEFORE, evidence)


@dataclass(frozen=True)
class Answer:
    """What a machine of this owner answered to the same question: a text for each of its GPUs."""

    owner_id: int
    parts: tuple[str, ...]


def vote_finding(mine: Answer, others: Sequence[Answer], known: Sequence[str] | None) -> Finding | None:
    """Whether the answer is another than the one known beforehand, or than that of two other owners who agree.

    Machines of one owner have one voice, and the owner's own machines have none about it. One against one decides
    nothing.
    """
    if known is not None:
        if tuple(known) == mine.parts:
            return None
        return Finding(
            WRONG_ANSWER, f"{_difference(mine.parts, tuple(known))} than the answer that was known beforehand."
        )
    voices: dict[tuple[str, ...], set[int]] = {}
    for other in others:
        if other.owner_id != mine.owner_id:
            voices.setdefault(other.parts, set()).add(other.owner_id)
    agreeing = len(voices.pop(mine.parts, set()))
    against = max(voices.items(), key=lambda item: len(item[1]), default=None)
    if against is None or len(against[1]) < 2 or agreeing >= len(against[1]):
        return None
    evidence = (
        f"{_difference(mine.parts, against[0])} than those of machines of {len(against[1])} other hosts who agree."
    )
    return Finding(OUTVOTED, evidence)


def _difference(mine: tuple[str, ...], right: tuple[str, ...]) -> str:
    wrong = [str(gpu) for gpu, part in enumerate(mine) if gpu >= len(right) or part != right[gpu]]
    return f"The results of GPU {', '.join(wrong) or 'numbers'} are others"


COUNTS_AS_FAILED = ("exited", "run_timeout", "offline", "out_of_memory")
"""Why a challenge without an answer speaks against the machine: it had every chance. Other problems may be ours."""
PAUSE = timedelta(hours=24)
LEAST_PAUSE = timedelta(hours=4)
ANOMALIES_WITHIN = timedelta(days=30)
RETRY_AFTER = timedelta(hours=6)


@dataclass(frozen=True, kw_only=True)
class History:
    """What is known of a machine's challenges. ``passed``: of the latest that were judged, the last one last.

    ``judged_at`` is when the latest was, ``undecided_at`` when the latest came to nothing, ``hardware`` what was
    challenged, ``anomalies`` how many findings (those in shadow too), failed challenges and drops of the benchmark
    there were in the last 30 days.
    """

    passed: Sequence[bool] = ()
    judged_at: datetime | None = None
    undecided_at: datetime | None = None
    hardware: str = ""
    anomalies: int = 0


def audit_pause(anomalies: int, chance: float) -> timedelta:
    """From one challenge to the next: a day on average, divided by 1 + anomalies, at least 4 hours.

    ``chance``, 0..1, spreads it evenly between half and one and a half times that, so that nobody knows the moment.
    """
    return max(PAUSE / (1 + anomalies), LEAST_PAUSE) * (0.5 + chance)


def due_reason(
    past: History,
    *,
    hardware: str,
    listed_at: datetime | None,
    started_at: datetime | None,
    now: datetime,
    chance: float,
) -> str:
    """Why a machine should be challenged now: "listing", "retest", "hardware", "restart", "daily"; "" when not.

    ``listed_at`` is None for one that is not on the market, which is not challenged; ``started_at`` is when its agent,
    which begins with the computer, began.
    """
    if listed_at is None:
        return ""
    if past.undecided_at is not None and now - past.undecided_at < RETRY_AFTER:
        return ""
    if past.judged_at is None or listed_at > past.judged_at:
        return "listing"
    if past.passed and not past.passed[-1]:
        return "retest"
    if hardware != past.hardware:
        return "hardware"
    if started_at is not None and started_at > past.judged_at:
        return "restart"
    return "daily" if now - past.judged_at >= audit_pause(past.anomalies, chance) else ""


def has_failed(passed: Sequence[bool]) -> bool:
    """Whether two challenges in a row were failed: one alone may be an accident, and is followed by a retest."""
    return len(passed) >= 2 and not any(passed[-2:])


CASE_OPEN, CASE_APPEALED, CASE_UPHELD, CASE_OVERTURNED = "open", "appealed", "upheld", "overturned"
CASE_TRANSITIONS: dict[str, frozenset[str]] = {
    CASE_OPEN: frozenset({CASE_APPEALED, CASE_UPHELD, CASE_OVERTURNED}),
    CASE_APPEALED: frozenset({CASE_UPHELD, CASE_OVERTURNED}),
    CASE_UPHELD: frozenset(),
    CASE_OVERTURNED: frozenset(),
}
"""The host appeals, staff decide."""
CASES_UNDECIDED = (CASE_OPEN, CASE_APPEALED)


def challenge_spec(
    plan: Plan, nonce: bytes, *, image: str, label: str, gpus: int, simulated: bool, cpu_cores: int, ram_mb: int
) -> ContainerSpec:
    """The container: the whole of a machine of that size, without any network, so that nobody can be asked."""
    program, *args = challenge_command(plan, nonce, gpus=gpus, device="cpu" if simulated else "cuda")
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
        result_bytes=MAX_TRANSCRIPT_BYTES,
    )
