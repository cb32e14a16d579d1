"""What tests of hosts' machines have in common."""

import pytest
from pytest_django.fixtures import Settings

from dlperf.challenge.plan import Plan
from hosting.domain import challenge_plans
from hosting.services import challenge_questions
from tests.dlperf.challenges import TINY
from tests.hosting.challenging import machine_of
from tests.plumbing import benchmarks
from tests.plumbing.market import TestAgent


@pytest.fixture
def tiny_challenges(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real GPUs would be asked for more than this computer can do in a test."""
    settings.DLPERF_IMAGE = benchmarks.IMAGE

    def tiny(*_facts: object, **_more: object) -> Plan:
        return TINY

    monkeypatch.setattr(challenge_questions, "plan_for", tiny)
    monkeypatch.setattr(challenge_plans, "_fill_seconds", lambda *_facts: 1.0)  # in all nine seconds
    monkeypatch.setattr(challenge_plans, "_step_seconds", lambda *_facts: 4.0)


@pytest.fixture
def agent(tiny_challenges: None) -> TestAgent:  # noqa: ARG001  # before the machine is challenged
    """A listed machine of two GPUs that are not simulated."""
    return machine_of()
