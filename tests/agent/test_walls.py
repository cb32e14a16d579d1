"""A machine on which guests are not walled off says so, and what is to be done about it."""

from dataclasses import replace
from typing import Any

import pytest

from agent.engine.hub import EngineHub
from agent.engine.inspected import has_seccomp
from agent.pool import Pool
from agent.shared import Shared
from agent.telemetry.telling import TelemetryRounds
from agent.usage import UsageSampler
from agent.walls import SWITCHED_OFF, gap
from tests.agent.fakes import FakeEngine

INFO = FakeEngine().info()


@pytest.mark.parametrize(
    ("options", "on"),
    [
        (["name=seccomp,profile=default"], True),
        (["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"], True),
        (["name=seccomp,profile=unconfined"], False),
        (["name=seccomp,profile=/etc/docker/loose.json"], False),
        (["name=apparmor"], False),
        (None, False),
    ],
)
def test_the_engines_own_seccomp_profile_is_seen_in_what_it_says(options: list[str] | None, on: bool) -> None:
    facts: dict[str, Any] = {"SecurityOptions": options}
    assert has_seccomp(facts) is on


@pytest.mark.parametrize(
    ("unguarded", "seccomp", "simulated", "words"),
    [
        ("", True, False, ""),
        (SWITCHED_OFF, True, False, "--no-firewall"),
        ("nft is not installed", False, False, "nft"),
        ("", False, False, "seccomp"),
        (SWITCHED_OFF, False, True, ""),
    ],
)
def test_what_is_missing_is_said_of_real_machines(unguarded: str, seccomp: bool, simulated: bool, words: str) -> None:
    found = gap(replace(INFO, seccomp=seccomp), lambda: unguarded, simulated=simulated)
    assert (found or "") == "" if not words else words in str(found)


def test_an_engine_that_was_never_reached_is_told_first() -> None:
    engine, pool = FakeEngine(), Pool(1, "none")
    hub = EngineHub(engine)
    shared = Shared(hub, pool, UsageSampler(engine), (), TelemetryRounds(pool), unguarded=lambda: SWITCHED_OFF)
    assert shared.problem(simulated=False) == hub.error
    hub.error = None
    assert shared.problem(simulated=False) == SWITCHED_OFF
    assert shared.problem(simulated=True) is None
