"""The rules of verification: whose answers agree, how often, what follows, which facts can't all be true."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlperf.catalogue import GpuModel, gpu_models
from hosting.domain import contradictions as facts
from hosting.domain import verification as rules
from hosting.domain.contradictions import GpuSaid, MachineSaid
from hosting.domain.verification import Answer, History
from tests.plumbing.market import T0

MODELS = sorted(gpu_models().values(), key=lambda model: model.name)
models = st.sampled_from(MODELS)


RIGHT, WRONG = ("a", "b"), ("a", "x")


@pytest.mark.parametrize(
    ("mine", "others", "known", "code"),
    [
        (RIGHT, [], None, ""),
        (WRONG, [], RIGHT, "wrong_answer"),
        (RIGHT, [(2, WRONG), (3, WRONG)], RIGHT, ""),
        (WRONG, [(2, RIGHT)], None, ""),
        (WRONG, [(2, RIGHT), (2, RIGHT)], None, ""),
        (WRONG, [(1, RIGHT), (2, RIGHT)], None, ""),
        (WRONG, [(2, RIGHT), (3, RIGHT)], None, "outvoted"),
        (WRONG, [(2, RIGHT), (3, RIGHT), (4, WRONG), (5, WRONG)], None, ""),
        (RIGHT, [(2, RIGHT), (3, WRONG)], None, ""),
    ],
)
def test_known_answers_decide_else_two_other_hosts_who_agree(
    mine: tuple[str, ...], others: list[tuple[int, tuple[str, ...]]], known: tuple[str, ...] | None, code: str
) -> None:
    found = rules.vote_finding(Answer(1, mine), [Answer(*other) for other in others], known)
    assert (found.code if found else "") == code
    assert found is None or "GPU 1 are others" in found.evidence


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([RIGHT, WRONG])), max_size=8))
def test_no_one_host_outvotes_another(others: list[tuple[int, tuple[str, ...]]]) -> None:
    found = rules.vote_finding(Answer(9, RIGHT), [Answer(*other) for other in others], None)
    assert found is None or len({owner for owner, parts in others if parts == WRONG}) >= 2


PAST = History(passed=[True], judged_at=T0, hardware="h")


def due(past: History = PAST, hours: float = 1.0, **values: object) -> str:
    listed_at: datetime | None = T0 - timedelta(days=9)
    arguments = {"hardware": "h", "listed_at": listed_at, "started_at": T0 - timedelta(days=1), "chance": 0.5} | values
    return rules.due_reason(past, now=T0 + timedelta(hours=hours), **arguments)  # type: ignore[arg-type]  # mixed dict


def test_when_a_challenge_is_due() -> None:
    assert due() == ""
    assert due(listed_at=None, hours=100) == ""
    assert due(History()) == "listing"
    assert due(listed_at=T0 + timedelta(minutes=1)) == "listing"
    assert due(replace(PAST, passed=[True, False])) == "retest"
    assert due(hardware="other") == "hardware"
    assert due(started_at=T0 + timedelta(minutes=1)) == "restart"
    assert (due(hours=23.9), due(hours=24)) == ("", "daily")
    assert (due(hours=12, chance=0.0), due(hours=35.9, chance=1.0)) == ("daily", "")
    assert due(replace(PAST, anomalies=2), hours=8) == "daily"
    assert due(replace(PAST, undecided_at=T0), hours=5, hardware="other") == ""


@given(st.integers(0, 50), st.floats(0, 1))
def test_the_more_anomalies_the_sooner_but_never_without_a_pause(anomalies: int, chance: float) -> None:
    pause = rules.audit_pause(anomalies, chance)
    assert timedelta(hours=2) <= rules.audit_pause(anomalies + 1, chance) <= pause <= timedelta(hours=36)


@given(st.lists(st.booleans(), max_size=20))
def test_one_failure_alone_has_no_consequences(passed: list[bool]) -> None:
    assert rules.has_failed(passed) == (passed[-2:] == [False, False] or sum(not each for each in passed[-10:]) > 2)
    assert not rules.has_failed([*[True] * len(passed), False])


@given(st.integers(0, 12))
def test_a_machine_is_believed_for_some_challenges_that_come_to_nothing_and_not_for_ever(count: int) -> None:
    assert rules.has_lapsed(count) == (count >= 4)


def test_that_others_agree_against_one_is_never_a_failure() -> None:
    """Two accounts may be one person's."""
    found = rules.vote_finding(Answer(1, RIGHT), [Answer(2, WRONG), Answer(3, WRONG)], None)
    assert found is not None
    assert found.code in rules.WITHOUT_CONSEQUENCES


GPU = GpuSaid(
    uuid="GPU-1",
    model="RTX 3090",
    vram_mb=24576,
    compute_capability="8.6",
    memory_bandwidth_gbps=936.2,
    fp32_tflops=35.6,
    pci_bus_id="01:00.0",
    known_vram_gb=24.0,
    known_capability="8.6",
    known_fp32_tflops=35.58,
)
SAID = MachineSaid(
    machine_id=1,
    gpus=(GPU,),
    driver_version="550.54.15",
    cuda_version="12.4",
    public_address="192.0.2.7",
    computer=("rig", "board", "cpu", 32, 131072, "nvme", 1000),
)


def driver(said: MachineSaid) -> list[str]:
    return [finding.evidence for finding in facts.driver_findings(said)]


def test_facts_that_fit_are_no_finding() -> None:
    assert driver(SAID) == []
    measured: dict[str, float | None] = {"memory_bandwidth_gbps": 850.0, "gemm_fp32_tflops": 28.0}
    assert list(facts.measured_findings(SAID, measured, gpus_seen=["GPU-1", ""])) == []
    assert list(facts.measured_findings(SAID, {}, gpus_seen=[])) == []


@given(models)
def test_no_model_of_the_catalogue_contradicts_itself(model: GpuModel) -> None:
    gpu = replace(
        GPU,
        model=model.name,
        vram_mb=model.vram_gb * 1024,
        compute_capability=model.compute_capability,
        fp32_tflops=model.fp32_tflops,
        known_vram_gb=model.vram_gb,
        known_capability=model.compute_capability,
        known_fp32_tflops=model.fp32_tflops,
    )
    assert driver(replace(SAID, gpus=(gpu,), driver_version="580.1", cuda_version="13.0")) == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (replace(SAID, driver_version="470.1"), "needs 525 or later"),
        (replace(SAID, gpus=(replace(GPU, compute_capability="12.0"),)), "does not know"),
        (replace(SAID, gpus=(replace(GPU, compute_capability="8.0"),)), "that model has 8.6"),
        (replace(SAID, gpus=(replace(GPU, vram_mb=49152),)), "memory in GB 48.0; that model has 24"),
        (replace(SAID, gpus=(replace(GPU, fp32_tflops=90.0),)), "TFLOPS 90.0; that model has 35.6"),
    ],
)
def test_driver_facts_that_contradict_each_other_are_told(said: MachineSaid, words: str) -> None:
    assert any(words in evidence for evidence in driver(said))


def test_what_was_measured_is_compared_with_what_the_driver_says() -> None:
    impossible: dict[str, float | None] = {"memory_bandwidth_gbps": 1800.0, "gemm_fp32_tflops": 10.0}
    found = [finding.evidence for finding in facts.measured_findings(SAID, impossible, gpus_seen=["GPU-9"])]
    assert len(found) == 3
    assert "GPU-9" in found[0]
    assert "come to 936.2 GB/s; 1800.0 were measured" in found[1]


def test_the_same_computer_registered_twice_is_recognised_by_all_that_can_not_be_chosen_freely() -> None:
    twin = replace(SAID, machine_id=2, gpus=(replace(GPU, uuid="GPU-other"),))
    found = facts.same_hardware_finding(SAID, [twin])
    assert found is not None
    assert "Machine 2" in found.evidence
    assert facts.same_hardware_finding(SAID, [SAID]) is None
    for other in (
        replace(twin, public_address="192.0.2.8"),
        replace(twin, computer=("rig 2", *SAID.computer[1:])),
        replace(twin, gpus=(replace(GPU, pci_bus_id="02:00.0"),)),
    ):
        assert facts.same_hardware_finding(SAID, [other]) is None
