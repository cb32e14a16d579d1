"""The end of a lifetime: stopped on time, warned before, the disk kept for two days and then deleted."""

from datetime import datetime, timedelta

import pytest

from billing.selectors import ledger_check, meter_total_micros
from hosting.services.lifetimes import lifetimes_extend
from hosting.services.listing import listing_end, listing_set
from marketplace.errors import MarketError
from marketplace.models import Instance, Notice, User
from marketplace.services.expiry import lifetimes_sweep, stop_expired
from marketplace.services.lifecycle import instance_start
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
END = T0 + 72 * HOUR


@pytest.fixture
def agent() -> TestAgent:
    """A machine that is listed for three days."""
    return market.listed_machine(gpus=1, end_at=END)


@pytest.fixture
def client() -> User:
    return market.user(dollars=100)


def rent(agent: TestAgent, client: User, **values: object) -> Instance:
    offer = market.offer(agent)
    instance = instance_rent(client=client, offer_id=offer.pk, request=market.wish(**values), now=T0)
    agent.obey(T0)
    return instance


def told(instance: Instance) -> list[str]:
    return list(Notice.objects.filter(instance=instance).order_by("pk").values_list("kind", flat=True))


def sweep(now: datetime) -> None:
    """What the sweepers do every few seconds, twice as often as needed."""
    for _ in range(2):
        stop_expired(now=now)
        lifetimes_sweep(now=now)


def test_the_way_of_an_instance_past_its_end(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    sweep(END - 24 * HOUR - timedelta(seconds=1))
    assert told(instance) == []
    sweep(END - 24 * HOUR)
    assert told(instance) == ["expiring"]
    sweep(END - HOUR)
    assert told(instance) == ["expiring"] * 2
    sweep(END + timedelta(seconds=4))
    instance.refresh_from_db()
    assert instance.state == "stopping"
    agent.obey(END + timedelta(seconds=5))
    assert told(instance) == ["expiring", "expiring", "expired"]
    sweep(END + 24 * HOUR)
    sweep(END + 47 * HOUR)
    assert told(instance)[3:] == ["disk_expiring"] * 2
    sweep(END + 48 * HOUR - timedelta(seconds=1))
    instance.refresh_from_db()
    assert instance.state == "stopped"
    sweep(END + 48 * HOUR + timedelta(seconds=30))
    agent.obey(END + 49 * HOUR)
    instance.refresh_from_db()
    assert (instance.state, told(instance)[-1]) == ("destroyed", "disk_deleted")
    assert agent.report(END + 50 * HOUR).tasks == []
    assert meter_total_micros(f"instance:{instance.pk}:gpu", END + 99 * HOUR) == 72 * 500_000
    storage = meter_total_micros(f"instance:{instance.pk}:storage", END + 99 * HOUR)
    assert storage == 1389 * 120, "to the end of the second day, not to the sweep"
    assert ledger_check(END + 99 * HOUR) == []


def test_a_late_sweep_tells_the_latest_only(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    sweep(END + 24 * HOUR)
    assert told(instance) == ["disk_expiring"]


def test_the_host_extends_and_everything_begins_anew(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    sweep(END + 47 * HOUR)
    agent.obey(END + 47 * HOUR)
    later = END + 30 * 24 * HOUR
    host = agent.machine.host
    assert lifetimes_extend(machine_id=agent.machine.pk, host=host, end_at=later, now=END + 47.5 * HOUR) == 1
    assert told(instance)[-1] == "extended"
    sweep(END + 49 * HOUR)
    started = instance_start(instance_id=instance.pk, actor=client, now=END + 49 * HOUR)
    assert started.state == "loading"
    started.refresh_from_db()
    assert (started.end_at, started.gpu_micros_per_hour) == (later, 500_000)
    sweep(later - HOUR)
    assert told(instance)[-1] == "expiring"


def test_terms_of_new_rentals_touch_no_contract(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    host, now = agent.machine.host, T0 + HOUR
    dearer = market.terms(gpu_micros_per_hour=900_000, end_at=T0 + 2 * HOUR)
    listing_set(machine_id=agent.machine.pk, host=host, terms=dearer, now=now)
    listing_end(machine_id=agent.machine.pk, host=host, now=now)
    sweep(T0 + 3 * HOUR)
    instance.refresh_from_db()
    assert (instance.state, instance.end_at, instance.gpu_micros_per_hour) == ("running", END, 500_000)


def test_a_waiting_bid_ends_with_its_lifetime_too(agent: TestAgent, client: User) -> None:
    rent(agent, client)
    offer = market.offer(agent)
    wish = market.wish(bid_micros_per_hour=100_000, accepts_waiting=True)
    waiting = instance_rent(client=client, offer_id=offer.pk, request=wish, now=T0)
    assert waiting.state == "outbid"
    sweep(END)
    waiting.refresh_from_db()
    assert waiting.state == "stopped"
    with pytest.raises(MarketError, match="lifetime"):
        instance_start(instance_id=waiting.pk, actor=client, now=END)
