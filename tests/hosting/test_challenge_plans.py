"""How much challenges ask for, how long they may take, and what cheaters and honest machines need for them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlperf.catalogue import GpuModel, gpu_models
from dlperf.challenge.command import EXIT_FAILED
from dlperf.challenge.plan import LAYERS, SCAN_COLUMNS, Kind, Plan
from dlperf.domain.hardware import hardware_of
from hosting.domain import challenge_plans as plans
from hosting.domain import challenge_talk as talk
from hosting.domain import jobs
from hosting.domain.challenge_talk import Asked, Turn

MODELS = sorted(gpu_models().values(), key=lambda model: model.name)
models = st.sampled_from(MODELS)
CPU_OPERATIONS = 6e12
"""A second, of 8-bit products on 16 cores of 3 GHz with 256-bit VNNI."""
PCIE_BYTES = 25e9
"""A second, of a PCIe 4.0 slot with 16 lanes."""


def plan_of(model: GpuModel) -> Plan:
    return plans.plan_for(model.hardware, int(model.vram_gb * 1024), simulated=False)


def work_of(claimed: GpuModel, real: GpuModel) -> float:
    """Seconds that a GPU of another model takes for the challenge of the one that is claimed."""
    return plans.usual_seconds(plan_of(claimed), real.hardware)


def proved(model: GpuModel) -> plans.Bounds:
    """Bounds after machines of three other hosts took what is usual."""
    return plans.bounds(plan_of(model), model.hardware, [[1.0]] * plans.HOSTS_THAT_PROVE_BOUNDS)


def code(seconds: float, allowed: plans.Bounds) -> str:
    found = plans.timing_finding(seconds, allowed)
    return found.code if found else ""


@given(models)
def test_every_model_gets_a_challenge_of_about_a_minute_that_fits_its_memory(model: GpuModel) -> None:
    plan = plan_of(model)
    room = model.vram_gb * 2**30 - plan.products * plans.PRODUCT_MB * 2**20
    assert plan.buffer_bytes < room * 0.96
    assert 45 <= work_of(model, model) <= 75
    allowed = plans.bounds(plan, model.hardware)
    assert allowed.least < work_of(model, model) < allowed.most
    assert not allowed.proved


@pytest.mark.parametrize(("name", "share"), [("GTX 1060 6GB", 0.75), ("RTX 3090", 0.84), ("H100 SXM5", 0.9)])
def test_most_of_the_memory_is_filled_and_read_in_every_step(name: str, share: float) -> None:
    model = gpu_models()[name]
    assert plan_of(model).buffer_bytes > share * model.vram_gb * 2**30


def test_a_thousand_honest_machines_with_noise_are_never_suspected() -> None:
    """Fleets of a model: what it takes is not what the formula says, no two machines are alike, and no two runs."""
    dice = random.Random(5)
    for _ in range(200):
        model = dice.choice(MODELS)
        nature = work_of(model, model) * dice.uniform(0.7, 1.9)
        machines = [nature * min(max(dice.gauss(1.0, 0.08), 0.8), 1.25) for _ in range(8)]
        runs = [[each * min(max(dice.gauss(1.0, 0.03), 0.9), 1.1) for _ in range(4)] for each in machines]
        for mine in runs[:5]:
            usual = work_of(model, model)
            others = [[seconds / usual for seconds in one] for one in runs if one is not mine]
            allowed = plans.bounds(plan_of(model), model.hardware, others)
            assert allowed.proved
            for number, seconds in enumerate(mine):
                told_after = seconds + dice.uniform(0.1, 5)
                assert code(told_after, allowed) == "", model.name
                assert plans.throttling_finding(told_after, mine[:number]) is None, model.name


@given(models, st.integers(2, 16), st.integers(1, 15))
def test_fewer_gpus_than_claimed_are_too_slow(model: GpuModel, claimed: int, real: int) -> None:
    """All at once, one of them at least has to do the work of two."""
    seconds = work_of(model, model) * -(-claimed // real)
    assert code(seconds, proved(model)) == ("too_slow" if claimed > real else "")


def test_forwarding_to_a_much_faster_machine_is_too_fast() -> None:
    claimed, real = gpu_models()["GTX 1080 Ti"], gpu_models()["RTX 4090"]
    found = plans.timing_finding(work_of(claimed, real), plans.bounds(plan_of(claimed), claimed.hardware))
    assert found is not None
    assert (found.code, "something else computed it" in found.evidence) == ("too_fast", True)
    assert code(work_of(claimed, real), proved(claimed)) == "too_fast"


def test_a_weaker_gpu_under_a_stronger_ones_name_is_too_slow() -> None:
    claimed, real = gpu_models()["RTX 4090"], gpu_models()["RTX 3060 12GB"]
    assert code(work_of(claimed, real), plans.bounds(plan_of(claimed), claimed.hardware)) == "too_slow"


LARGE = [model for model in MODELS if model.vram_gb >= 24 and model.memory_bandwidth_gbps >= 900]


@pytest.mark.parametrize("model", LARGE, ids=[model.name for model in LARGE])
def test_who_keeps_half_of_a_large_memory_elsewhere_is_too_slow(model: GpuModel) -> None:
    """Even with programs of its own that do everything else at the data sheet's rates and at the same time: it has to
    move what it lacks over PCIe, to compute it again, or to have the computer's own CPU multiply it."""
    plan, hardware = plan_of(model), model.hardware
    lacking = plan.buffer_bytes / 2
    read = lacking / (hardware.memory_bandwidth_gbps * 1e9)
    moved = lacking / PCIE_BYTES
    computed = lacking * LAYERS * 2 * plan.depth / (hardware.product_tera_ops("int8") * 1e12)
    by_cpu = lacking * 2 * SCAN_COLUMNS / CPU_OPERATIONS
    each_step = min(max(read, moved), read + computed, max(read, by_cpu))
    assert code(plan.all_steps * each_step, proved(model)) == "too_slow"


@given(models, st.lists(st.lists(st.floats(0.01, 10), max_size=4), max_size=6))
def test_bounds_are_proved_by_three_hosts_whose_median_is_possible(model: GpuModel, voices: list[list[float]]) -> None:
    allowed = plans.bounds(plan_of(model), model.hardware, voices)
    computed = plans.bounds(plan_of(model), model.hardware)
    assert allowed.least == computed.least
    if not allowed.proved:
        assert allowed == computed
        return
    assert len([voice for voice in voices if voice]) >= 3
    assert allowed.most > work_of(model, model) * plans.CERTAINLY_ALLOWED


@given(models, st.lists(st.floats(0.01, 10), min_size=3, max_size=9))
def test_hosts_who_agree_can_not_make_a_machine_too_fast_or_one_that_takes_the_usual_too_slow(
    model: GpuModel, shares: list[float]
) -> None:
    allowed = plans.bounds(plan_of(model), model.hardware, [[share] for share in shares])
    assert code(work_of(model, model), allowed) == ""


def test_one_host_has_one_voice_however_many_machines_it_has() -> None:
    model = gpu_models()["RTX 3090"]
    allowed = plans.bounds(plan_of(model), model.hardware, [[1.0], [1.1], [0.9], [1.9] * 50])
    assert code(work_of(model, model) * 1.9, allowed) == "too_slow"


@pytest.mark.parametrize(("fp32", "bandwidth"), [(0.0, 0.0), (0.0, 900.0), (35.0, 0.0), (0.5, 900.0)])
def test_nothing_is_asked_of_gpus_whose_rates_nobody_knows(fp32: float, bandwidth: float) -> None:
    unknown = hardware_of(fp32_tflops=fp32, memory_bandwidth_gbps=bandwidth, compute_capability="8.6")
    with pytest.raises(ValueError, match="nobody knows"):
        plans.plan_for(unknown, 24576, simulated=False)
    assert plans.plan_for(unknown, 24576, simulated=True) == plans.SMALL_PLAN


def test_a_machine_that_is_throttled_after_its_verification_is_slower_than_before() -> None:
    assert plans.throttling_finding(150, [70.0, 70.0]) is None
    assert plans.throttling_finding(112, [70.0, 72.0, 68.0]) is None
    found = plans.throttling_finding(120, [70.0, 72.0, 68.0])
    assert found is not None
    assert (found.code, "usually needs 70" in found.evidence) == ("slower_than_before", True)


@given(models, st.integers(1, 16), st.randoms(use_true_random=False))
def test_places_that_are_drawn_are_there_and_look_at_every_gpu(model: GpuModel, gpus: int, dice: random.Random) -> None:
    plan = plan_of(model)
    places = plans.places_to_show(plan, gpus, dice.randrange)
    groups = [place for place in places if place.part == plan.passes]
    products = [place for place in places if place.part < plan.passes]
    for gpu in range(gpus):
        assert sum(place.gpu == gpu for place in groups) >= 2
        assert sum(place.gpu == gpu for place in products) >= 1
    assert (len(products), len(groups)) == (max(3, gpus), max(4, 2 * gpus))
    for place in places:
        assert 0 <= place.gpu < gpus
        assert 0 <= place.step < plan.all_steps
        assert 0 <= place.leaf < plan.leaves(place.part)


def test_every_place_can_be_drawn() -> None:
    plan, dice = plans.SMALL_PLAN, random.Random(1)
    drawn = {place for _ in range(3000) for place in plans.places_to_show(plan, 2, dice.randrange)}
    products = {place for place in drawn if place.part < plan.passes}
    assert {(place.gpu, place.step, place.part, place.leaf) for place in products} >= {
        (gpu, step, part, leaf)
        for gpu in range(2)
        for step in range(plan.all_steps)
        for part in range(len(Kind))
        for leaf in range(plan.products)
    }


def done(question: str, **values: object) -> Asked:
    return Asked(question=question, **({"state": jobs.DONE, "exit_code": 0} | values))  # type: ignore[arg-type]  # mixed


READY, COMMIT, REVEAL = (done(question) for question in (talk.READY, talk.COMMIT, talk.REVEAL))


@pytest.mark.parametrize(
    ("asked", "turn", "problem"),
    [
        ([], Turn.ASK_READY, ""),
        ([done(talk.READY, state=jobs.ASKED)], Turn.WAIT, ""),
        ([READY], Turn.ASK_COMMIT, ""),
        ([READY, done(talk.COMMIT, state=jobs.RUNNING)], Turn.WAIT, ""),
        ([READY, COMMIT], Turn.ASK_REVEAL, ""),
        ([READY, COMMIT, REVEAL, done(talk.REVEAL, state=jobs.ASKED)], Turn.WAIT, ""),
        ([READY, COMMIT, REVEAL, REVEAL], Turn.END, ""),
        ([READY, COMMIT, done(talk.REVEAL, state=jobs.FAILED, reason="engine_down")], Turn.FAIL, "broke_off"),
        ([READY, COMMIT, done(talk.REVEAL, state=jobs.EXPIRED)], Turn.FAIL, "broke_off"),
        ([done(talk.READY, state=jobs.FAILED, reason="unsupported")], Turn.FAIL, "unsupported"),
        ([done(talk.READY, state=jobs.FAILED, reason="no_container")], Turn.FAIL, "broke_off"),
        ([READY, done(talk.COMMIT, exit_code=EXIT_FAILED)], Turn.FAIL, "broke_off"),
        ([done(talk.READY, exit_code=1)], Turn.FAIL, "bad_program"),
        ([done(talk.READY, is_understood=False)], Turn.FAIL, "bad_program"),
        ([READY, done(talk.COMMIT, exit_code=None)], Turn.FAIL, "no_reply"),
        ([READY, done(talk.COMMIT, state=jobs.EXPIRED)], Turn.FAIL, "no_reply"),
        (
            [READY, COMMIT, done(talk.REVEAL, exit_code=EXIT_FAILED), done(talk.REVEAL, state=jobs.ASKED)],
            Turn.FAIL,
            "broke_off",
        ),
    ],
)
def test_what_is_asked_next(asked: list[Asked], turn: Turn, problem: str) -> None:
    following = talk.next_turn(asked)
    assert (following.turn, following.problem) == (turn, problem)
    assert bool(following.message) == bool(problem)
