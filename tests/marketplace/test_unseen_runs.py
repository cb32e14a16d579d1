"""Runs that were over before anybody heard that they had begun: charged once, for what they lasted."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.protocol import ERASED, ObservedTask
from billing.selectors import balance_micros, meter_total_micros
from marketplace.models import Instance
from marketplace.services.lifecycle import instance_destroy
from marketplace.services.metering import gpu_reference
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import DOLLAR, T0, TestAgent

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
HOUR_SECONDS = 3600
PRICE = 500_000


def rented() -> tuple[TestAgent, Instance]:
    """An instance that the agent has been told of."""
    agent = market.listed_machine()
    request = market.wish(mode="args", args=("true",), disk_gb=10)
    client = market.user(dollars=10)
    instance = instance_rent(client=client, offer_id=market.offer(agent).pk, request=request, now=T0)
    agent.report(T0)
    return agent, instance


def ended(instance: Instance, ago: float, ran: float | None, **changes: object) -> ObservedTask:
    """A run that ended so many seconds ago and lasted so long."""
    values: dict[str, object] = {"phase": "exited", "exit_code": 0, "reason": "exited"}
    return ObservedTask(
        task_id=instance.task_id,
        run_generation=1,
        age_seconds=ago,
        ran_seconds=ran,
        **(values | changes),  # type: ignore[arg-type]  # the dict mixes types by design
    )


def gpu_micros(instance: Instance) -> int:
    return meter_total_micros(gpu_reference(instance), T0 + timedelta(days=1))


def test_a_short_run_costs_what_it_lasted() -> None:
    agent, instance = rented()
    agent.report(T0 + 20 * SECOND, ended(instance, ago=5.0, ran=10.0))
    instance.refresh_from_db()
    assert instance.state == "exited"
    assert gpu_micros(instance) == 10 * PRICE // HOUR_SECONDS
    agent.report(T0 + 25 * SECOND, ended(instance, ago=10.0, ran=10.0))
    agent.report(T0 + 30 * SECOND, ended(instance, ago=15.0, ran=12.0))
    assert gpu_micros(instance) == 10 * PRICE // HOUR_SECONDS, "told again it costs nothing more"


def test_the_disk_costs_from_then_on() -> None:
    agent, instance = rented()
    agent.report(T0 + 20 * SECOND, ended(instance, ago=5.0, ran=10.0))
    spent = [10 * DOLLAR - balance_micros(instance.client, T0 + hours * HOUR_SECONDS * SECOND) for hours in (1, 2)]
    assert spent[1] > spent[0] > gpu_micros(instance)


def test_a_run_that_was_seen_is_charged_as_before() -> None:
    agent, instance = rented()
    agent.obey(T0)
    agent.report(T0 + 20 * SECOND, ended(instance, ago=5.0, ran=3.0))
    assert gpu_micros(instance) == 15 * PRICE // HOUR_SECONDS


@pytest.mark.parametrize("changes", [{"reason": "command_not_found", "exit_code": 127}, {"phase": "failed"}])
def test_what_never_ran_costs_nothing(changes: dict[str, object]) -> None:
    agent, instance = rented()
    agent.report(T0 + 20 * SECOND, ended(instance, ago=5.0, ran=10.0, **changes))
    assert gpu_micros(instance) == 0


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ago=st.floats(0, 1e6), ran=st.none() | st.floats(0, 1e9), after=st.integers(1, 59))
def test_a_lying_agent_charges_no_more_than_the_time_since_it_was_asked(
    ago: float, ran: float | None, after: int
) -> None:
    agent, instance = rented()
    agent.report(T0 + after * SECOND, ended(instance, ago=ago, ran=ran))
    assert 0 <= gpu_micros(instance) <= after * PRICE / HOUR_SECONDS


def test_time_in_which_the_machine_was_away_is_not_charged() -> None:
    agent, instance = rented()
    agent.machine.refresh_from_db()
    type(agent.machine).objects.filter(pk=agent.machine.pk).update(online=False)
    agent.report(T0 + 600 * SECOND, ended(instance, ago=5.0, ran=300.0))
    assert gpu_micros(instance) == 0


def test_the_agents_word_that_all_is_erased_is_an_event() -> None:
    agent, instance = rented()
    agent.obey(T0)
    instance_destroy(instance_id=instance.pk, actor=instance.client, now=T0 + 60 * SECOND)
    gone = ObservedTask(
        task_id=instance.task_id, phase="removed", run_generation=1, age_seconds=0.0, erased=[*ERASED, "\x00nonsense"]
    )
    agent.report(T0 + 61 * SECOND, gone)
    event = instance.events.get(kind="erased")
    assert event.message == (
        "The machine's agent has looked: nothing is left of its container, disk, saved disks, volumes, network, notes."
    )
    instance.refresh_from_db()
    assert instance.state == "destroyed"


def test_without_its_word_there_is_none() -> None:
    agent, instance = rented()
    agent.obey(T0)
    instance_destroy(instance_id=instance.pk, actor=instance.client, now=T0)
    agent.obey(T0)
    instance.refresh_from_db()
    assert (instance.state, instance.events.filter(kind="erased").exists()) == ("destroyed", False)
