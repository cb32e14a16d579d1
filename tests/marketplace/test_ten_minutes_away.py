"""The marketplace is away for ten minutes, under a virtual clock: what ran meanwhile, what ended, and what it costs.

While it is away nobody sweeps and nobody reports. Then agents speak, before or after the first sweep.
"""

from datetime import timedelta

import pytest

from agent.protocol import ObservedTask
from billing.selectors import meter_total_micros
from hosting.gateways import presence
from hosting.models import Machine
from hosting.services.offline import machines_sweep_offline
from marketplace.models import Instance
from marketplace.services.lifecycle import instance_stop
from marketplace.services.metering import gpu_reference
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
BACK = T0 + 10 * MINUTE
PRICE_A_MINUTE = 500_000 / 60


@pytest.fixture
def running() -> tuple[TestAgent, Instance]:
    """It runs since T0; the last sweep was then too."""
    presence.client().flushdb()
    agent = market.listed_machine()
    client = market.user(dollars=10)
    instance = instance_rent(client=client, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    machines_sweep_offline(now=T0)
    return agent, instance


def ended(instance: Instance, ago: timedelta, reason: str = "exited") -> ObservedTask:
    return ObservedTask(
        task_id=instance.task_id,
        phase="exited",
        run_generation=1,
        age_seconds=ago.total_seconds(),
        exit_code=0,
        reason=reason,  # type: ignore[arg-type]  # one of the literals
    )


def minutes_charged(instance: Instance, at: object = BACK) -> float:
    return meter_total_micros(gpu_reference(instance), at) / PRICE_A_MINUTE  # type: ignore[arg-type]  # a datetime


def state(instance: Instance) -> str:
    return Instance.objects.values_list("state", flat=True).get(pk=instance.pk)


@pytest.mark.parametrize("sweeps_first", [True, False])
def test_what_went_on_is_charged_all_along(running: tuple[TestAgent, Instance], *, sweeps_first: bool) -> None:
    agent, instance = running
    presence.client().delete(presence.SWEEP)  # which expires by real time, and here none passes
    if sweeps_first:
        assert machines_sweep_offline(now=BACK) == 0, "the silence was ours"
    agent.report(BACK)
    assert machines_sweep_offline(now=BACK + 0.1 * MINUTE) == 0
    assert (state(instance), round(minutes_charged(instance), 3)) == ("running", 10.0)
    assert Machine.objects.filter(pk=agent.machine.pk, online=True).exists()


def test_what_ended_meanwhile_is_charged_to_its_end(running: tuple[TestAgent, Instance]) -> None:
    agent, instance = running
    agent.report(BACK, ended(instance, ago=6 * MINUTE))
    assert (state(instance), round(minutes_charged(instance, BACK + MINUTE), 3)) == ("exited", 4.0)


def test_a_machine_that_was_rebooted_meanwhile_starts_it_anew(running: tuple[TestAgent, Instance]) -> None:
    agent, instance = running
    agent.session_id = "after the reboot"
    agent.report(BACK, ended(instance, ago=7 * MINUTE, reason="engine_down"))
    assert (state(instance), round(minutes_charged(instance), 3)) == ("loading", 3.0)
    agent.obey(BACK + MINUTE)
    assert state(instance) == "running"
    assert round(minutes_charged(instance, BACK + 2 * MINUTE), 3) == 4.0


def test_an_agent_that_was_killed_meanwhile_goes_on_in_a_new_session(running: tuple[TestAgent, Instance]) -> None:
    agent, instance = running
    agent.session_id = "the next one"
    agent.report(BACK, session_started_age_seconds=30.0)
    assert (state(instance), round(minutes_charged(instance), 3)) == ("running", 10.0)


def test_a_stop_after_that_ends_it_at_the_click(running: tuple[TestAgent, Instance]) -> None:
    agent, instance = running
    agent.report(BACK)
    instance_stop(instance_id=instance.pk, actor=instance.client, now=BACK + MINUTE)
    agent.obey(BACK + 2 * MINUTE)
    assert (state(instance), round(minutes_charged(instance, BACK + 9 * MINUTE), 3)) == ("stopped", 11.0)
