"""Whose failure it is when a container does not run."""

from typing import get_args

import pytest

from agent.protocol import FailureReason
from hosting.domain.launches import FAULTS, WORDS, Fault, Launch, fault_of, launch_outcome, words_of


def test_every_reason_has_a_fault_and_words() -> None:
    assert set(FAULTS) == set(WORDS) == set(get_args(FailureReason))


@pytest.mark.parametrize(
    ("phase", "reason", "outcome"),
    [
        ("running", "", Launch()),
        ("exited", "exited", Launch()),
        ("exited", "disk_limit", Launch()),
        ("exited", "out_of_memory", Launch()),
        ("exited", "command_not_found", Launch("command_not_found")),
        ("exited", "engine_down", Launch("engine_down")),
        ("failed", "gpu_unavailable", Launch("gpu_unavailable")),
        ("failed", "out_of_memory", Launch("out_of_memory")),
        ("failed", "", Launch("engine_error")),
        ("pulling", "", None),
        ("stopped", "", None),
    ],
)
def test_the_first_phase_that_tells_how_a_run_began(phase: str, reason: str, outcome: Launch | None) -> None:
    assert launch_outcome(phase, reason, is_known=False) == outcome


@pytest.mark.parametrize("phase", ["running", "exited", "failed"])
def test_what_comes_later_is_no_other_launch(phase: str) -> None:
    assert launch_outcome(phase, "engine_down", is_known=True) is None


def test_a_lost_container_is_a_failure_however_late() -> None:
    assert launch_outcome("failed", "container_lost", is_known=True) == Launch("container_lost")
    assert fault_of("container_lost") is Fault.HOST


def test_where_it_is_not_certain_nobody_is_blamed() -> None:
    assert {reason for reason, fault in FAULTS.items() if fault is Fault.UNCLEAR} == {
        "image_pull_failed",
        "engine_error",
    }
    assert fault_of("something new") is Fault.UNCLEAR
    assert words_of("something_new") == "something new"
