"""Maintenance that hosts announce: when they may, who is told, and that it is called off."""

from datetime import datetime, timedelta

import pytest
from django.core import mail

from hosting.domain.maintenance import LONGEST, MOST_A_DAY, MOST_AHEAD, problem
from hosting.errors import HostingError
from hosting.market_prices import maintenance_of
from hosting.models import QuietPeriod
from hosting.services.quiet_periods import maintenance_announce, own_maintenance_announce, own_maintenance_cancel
from marketplace.models import Notice, User
from marketplace.services.maintenance_notices import MAILED_AFTER
from marketplace.services.notice_mails import notice_mails_send
from marketplace.services.rent import instance_rent
from marketplace.services.volumes import volume_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("starts_in", "lasts", "field"),
    [
        (DAY, HOUR, None),
        (timedelta(0), LONGEST, None),
        (MOST_AHEAD, HOUR, None),
        (-HOUR, 3 * HOUR, "starts_at"),
        (MOST_AHEAD + HOUR, HOUR, "starts_at"),
        (DAY, timedelta(0), "hours"),
        (DAY, LONGEST + HOUR, "hours"),
    ],
)
def test_when_it_may_be(starts_in: timedelta, lasts: timedelta, field: str | None) -> None:
    found = problem(T0 + starts_in, T0 + starts_in + lasts, T0)
    assert (found[0] if found else None) == field


@pytest.fixture
def agent(db: None) -> TestAgent:  # noqa: ARG001 - needs the database
    return market.listed_machine()


def announce(agent: TestAgent, host: User | None = None, starts_in: timedelta = DAY, note: str = "") -> QuietPeriod:
    return own_maintenance_announce(
        machine_id=agent.machine.pk,
        host=host or agent.machine.host,
        starts_at=T0 + starts_in,
        ends_at=T0 + starts_in + 2 * HOUR,
        note=note,
        now=T0,
    )


def rented(agent: TestAgent) -> User:
    client = market.user(dollars=100)
    instance_rent(client=client, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    return client


def told(client: User) -> list[str]:
    return list(Notice.objects.filter(client=client, kind="maintenance").order_by("pk").values_list("text", flat=True))


def test_whoever_has_something_there_is_told_once_and_when_it_is_called_off(agent: TestAgent) -> None:
    client, bystander = rented(agent), rented(market.listed_machine())
    announce(agent, note="new power supply")
    (text,) = told(client)
    assert "from 2026-03-03 12:00 to 2026-03-03 14:00 UTC" in text
    assert "The host writes: new power supply" in text
    assert own_maintenance_cancel(machine_id=agent.machine.pk, host=agent.machine.host, now=T0 + HOUR) == 1
    assert own_maintenance_cancel(machine_id=agent.machine.pk, host=agent.machine.host, now=T0 + HOUR) == 0
    assert told(client)[1:] == [f"The maintenance of machine {agent.machine.pk} was called off."]
    assert maintenance_of([agent.machine.pk], T0 + HOUR) == []
    assert told(bystander) == []


def mailed(now: datetime) -> list[str]:
    """Subjects of the mails that leave by then."""
    before = len(mail.outbox)
    notice_mails_send(now=now, fraction=lambda: 0.5)
    return [str(sent.subject) for sent in mail.outbox[before:] if "aintenance" in sent.subject]


def test_what_is_called_off_before_it_was_mailed_is_nobodys_mail(agent: TestAgent) -> None:
    client = rented(agent)
    announce(agent)
    assert mailed(T0) == []
    own_maintenance_cancel(machine_id=agent.machine.pk, host=agent.machine.host, now=T0 + MAILED_AFTER / 2)
    assert mailed(T0 + HOUR) == []
    assert len(told(client)) == 2  # for pages and webhooks
    announce(agent)
    assert len(mailed(T0 + MAILED_AFTER)) == 1
    own_maintenance_cancel(machine_id=agent.machine.pk, host=agent.machine.host, now=T0 + 2 * MAILED_AFTER)
    assert len(mailed(T0 + 2 * MAILED_AFTER)) == 1


def test_owners_of_volumes_are_spared_it_too(agent: TestAgent) -> None:
    owner = market.user(dollars=10)
    volume_rent(client=owner, offer_id=market.offer(agent).pk, size_gb=10, label="data", now=T0)
    announce(agent)
    own_maintenance_cancel(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)
    notices = Notice.objects.filter(client=owner, kind="volume_maintenance")
    assert list(notices.values_list("mail_next_at", flat=True)) == [None, None]


def test_a_host_announces_a_few_times_a_day(agent: TestAgent) -> None:
    for _ in range(MOST_A_DAY):
        announce(agent)
        own_maintenance_cancel(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)
    with pytest.raises(HostingError) as refusal:
        announce(agent)
    assert (refusal.value.code, refusal.value.status) == ("too_many_announcements", 429)
    announce(market.listed_machine(agent.machine.host))
    starts_at = T0 + 2 * DAY
    maintenance_announce(
        machine_id=agent.machine.pk, starts_at=starts_at, ends_at=starts_at + HOUR, actor=None, note="", now=T0
    )
    QuietPeriod.objects.update(recorded_at=T0 - DAY)
    announce(agent)


def test_what_is_under_way_ends_now(agent: TestAgent) -> None:
    client = rented(agent)
    period = announce(agent, starts_in=HOUR)
    own_maintenance_cancel(machine_id=agent.machine.pk, host=agent.machine.host, now=T0 + 2 * HOUR)
    period.refresh_from_db()
    assert period.ends_at == T0 + 2 * HOUR
    assert "ended at 2026-03-02 14:00 UTC" in told(client)[1]


def test_one_at_a_time_of_own_machines_only(agent: TestAgent) -> None:
    announce(agent)
    announce(agent, starts_in=DAY + 2 * HOUR)
    with pytest.raises(HostingError) as refusal:
        announce(agent, starts_in=DAY - HOUR)
    assert (refusal.value.code, refusal.value.status) == ("already_announced", 409)
    with pytest.raises(HostingError) as refusal:
        announce(agent, host=market.user(), starts_in=5 * DAY)
    assert refusal.value.code == "no_such_machine"
    with pytest.raises(HostingError) as refusal:
        own_maintenance_cancel(machine_id=agent.machine.pk, host=market.user(), now=T0)
    assert refusal.value.code == "no_such_machine"
    assert len(maintenance_of([agent.machine.pk], T0)) == 2
