"""Suspensions of machines and accounts: what ends at once, what goes on, and what comes back."""

from datetime import timedelta

import pytest

from billing.models import AccountTerms, AutoBilling
from billing.selectors import hourly_cost_micros
from hosting.errors import HostingError
from hosting.models import Machine
from hosting.services.suspension import machine_restore, machine_suspend
from marketplace.errors import MarketError
from marketplace.models import AuditEntry, Instance, Notice, Offer, User
from marketplace.services import suspensions
from marketplace.services.lifecycle import instance_start, instance_stop
from marketplace.services.rent import instance_rent
from marketplace.services.suspensions import account_restore, account_suspend, suspensions_enforce
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("staff@example.com", "pass")


def rented(agent: TestAgent, client: User, **values: object) -> Instance:
    """A running instance."""
    instance = instance_rent(client=client, offer_id=market.offer(agent).pk, request=market.wish(**values), now=T0)
    agent.obey(T0)
    instance.refresh_from_db()
    assert instance.state == "running"
    return instance


def state_of(instance: Instance) -> str:
    return Instance.objects.values_list("state", flat=True).get(pk=instance.pk)


def live_offers(machine: Machine) -> int:
    return Offer.objects.filter(machine=machine, retired_at=None).count()


def test_a_suspended_machine_takes_nothing_new_and_keeps_what_runs(staff: User) -> None:
    agent = market.listed_machine()
    running = rented(agent, market.user(dollars=10))
    stopped = rented(agent, market.user(dollars=10))
    instance_stop(instance_id=stopped.pk, actor=stopped.client, now=T0)
    agent.obey(T0)
    offer = market.offer(agent)
    machine_suspend(machine_id=agent.machine.pk, actor=staff, reason="Its host asked for it.", now=T0 + HOUR)
    assert (live_offers(agent.machine), state_of(running)) == (0, "running")
    with pytest.raises(MarketError) as taken:
        instance_rent(client=market.user(dollars=10), offer_id=offer.pk, request=market.wish(), now=T0 + HOUR)
    with pytest.raises(MarketError) as start:
        instance_start(instance_id=stopped.pk, actor=stopped.client, now=T0 + HOUR)
    assert (taken.value.code, taken.value.status, start.value.code) == ("no_such_ask", 410, "machine_suspended")
    assert Notice.objects.get(kind="machine_suspended").client == agent.machine.host
    entry = AuditEntry.objects.get(action="machine.suspended")
    assert (entry.actor, entry.object_id, entry.message) == (staff, str(agent.machine.pk), "Its host asked for it.")


def test_evicted_clients_are_told_and_pay_no_longer(staff: User) -> None:
    agent = market.listed_machine(gpus=1)
    client, waiting = market.user(dollars=10), market.user(dollars=10)
    running = rented(agent, client)
    bid = instance_rent(
        client=waiting,
        offer_id=market.offer(agent, 1).pk if live_offers(agent.machine) else running.offer_id,
        request=market.wish(bid_micros_per_hour=100_000, accepts_waiting=True),
        now=T0,
    )
    assert state_of(bid) == "outbid"
    machine_suspend(machine_id=agent.machine.pk, actor=staff, reason="Stolen.", evicts=True, now=T0 + HOUR)
    assert (state_of(running), state_of(bid)) == ("stopping", "stopped")
    agent.obey(T0 + HOUR)
    assert state_of(running) == "stopped"
    storage = running.storage_micros_per_hour
    assert hourly_cost_micros(client) == storage
    assert set(Notice.objects.filter(kind="suspended").values_list("client", flat=True)) == {client.pk, waiting.pk}


def test_a_restored_machine_is_offered_at_its_old_terms(staff: User) -> None:
    agent = market.listed_machine()
    before = live_offers(agent.machine)
    machine_suspend(machine_id=agent.machine.pk, actor=staff, reason="A look at it.", now=T0)
    machine_restore(machine_id=agent.machine.pk, actor=staff, now=T0 + HOUR)
    assert live_offers(agent.machine) == before > 0
    rented(agent, market.user(dollars=10))
    with pytest.raises(HostingError, match="not suspended"):
        machine_restore(machine_id=agent.machine.pk, actor=staff, now=T0 + HOUR)


def test_waiting_instances_start_when_their_machine_is_back(staff: User) -> None:
    agent = market.listed_machine(gpus=1)
    first = rented(agent, market.user(dollars=10))
    waits = rented_bid(agent, first)
    machine_suspend(machine_id=agent.machine.pk, actor=staff, reason="A look at it.", now=T0)
    instance_stop(instance_id=first.pk, actor=first.client, now=T0)
    agent.obey(T0)
    assert state_of(waits) == "outbid"
    machine_restore(machine_id=agent.machine.pk, actor=staff, now=T0 + HOUR)
    agent.obey(T0 + HOUR)
    assert state_of(waits) == "running"


def rented_bid(agent: TestAgent, holder: Instance) -> Instance:
    """A bid that waits for the machine's only GPU."""
    request = market.wish(bid_micros_per_hour=100_000, accepts_waiting=True)
    offer = Offer.objects.filter(machine=agent.machine, retired_at=None).first() or holder.offer
    return instance_rent(client=market.user(dollars=10), offer_id=offer.pk, request=request, now=T0)


@pytest.mark.django_db(transaction=True)
def test_a_suspended_account_loses_what_runs_and_its_offers_but_no_disk(staff: User) -> None:
    bad = market.user(dollars=10)
    elsewhere, own = market.listed_machine(), market.listed_machine(bad)
    guest = rented(own, market.user(dollars=10))
    mine = rented(elsewhere, bad)
    AutoBilling.objects.create(owner=bad, enabled=True)
    account_suspend(user_id=bad.pk, actor=staff, reason="A stolen card.", now=T0 + HOUR)
    elsewhere.obey(T0 + HOUR)
    assert (state_of(mine), state_of(guest)) == ("stopped", "running")
    assert hourly_cost_micros(bad) == mine.storage_micros_per_hour
    assert (live_offers(own.machine), live_offers(elsewhere.machine) > 0) == (0, True)
    assert AccountTerms.objects.get(owner=bad).payouts_held_reason == "The account is suspended."
    assert not AutoBilling.objects.get(owner=bad).enabled
    assert Notice.objects.get(kind="account_suspended").text.startswith(
        "Your account is suspended. The reason: A stolen"
    )


@pytest.mark.django_db(transaction=True)
def test_a_restored_account_has_its_machines_back_and_starts_nothing(staff: User) -> None:
    bad = market.user(dollars=10)
    elsewhere, own, kept_off = market.listed_machine(), market.listed_machine(bad), market.listed_machine(bad)
    mine = rented(elsewhere, bad)
    machine_suspend(machine_id=kept_off.machine.pk, actor=staff, reason="On its own account.", now=T0)
    account_suspend(user_id=bad.pk, actor=staff, reason="A stolen card.", now=T0)
    elsewhere.obey(T0)
    account_restore(user_id=bad.pk, actor=staff, now=T0 + HOUR)
    assert (live_offers(own.machine) > 0, live_offers(kept_off.machine)) == (True, 0)
    assert state_of(mine) == "stopped"
    assert AccountTerms.objects.get(owner=bad).payouts_held_reason == ""
    bad.refresh_from_db()
    instance_start(instance_id=mine.pk, actor=bad, now=T0 + HOUR)
    with pytest.raises(MarketError, match="not suspended"):
        account_restore(user_id=bad.pk, actor=staff, now=T0 + HOUR)


def test_the_sweeper_finds_what_began_at_the_same_moment(staff: User) -> None:
    bad = market.user(dollars=10)
    account_suspend(user_id=bad.pk, actor=staff, reason="A stolen card.", now=T0)
    late = rented(market.listed_machine(), bad)  # its request was under way
    own = market.listed_machine(bad)
    AccountTerms.objects.update(payouts_held_reason="")
    assert suspensions_enforce(now=T0 + HOUR) == 2
    assert (state_of(late), live_offers(own.machine)) == ("stopping", 0)
    assert AccountTerms.objects.get(owner=bad).payouts_held_reason == "The account is suspended."
    assert suspensions_enforce(now=T0 + HOUR) == 0


def test_a_sweep_that_comes_late_takes_nothing_from_who_is_back() -> None:
    """It has listed what belongs to suspended accounts, and then the account is let back."""
    account = market.user(dollars=10)
    mine, own = rented(market.listed_machine(), account), market.listed_machine(account)
    assert not suspensions._stop(mine.pk, T0)
    assert not suspensions._withhold(own.machine.pk, T0)
    assert (state_of(mine), live_offers(own.machine) > 0) == ("running", True)


def test_who_may_be_suspended_by_whom_and_why(staff: User) -> None:
    helper = market.user()
    helper.is_staff = True
    helper.save()
    client = market.user()
    refused = [(client, staff, " "), (staff, staff, "Me."), (staff, helper, "My boss."), (helper, helper, "Me.")]
    codes = []
    for account, actor, reason in refused:
        with pytest.raises(MarketError) as refusal:
            account_suspend(user_id=account.pk, actor=actor, reason=reason, now=T0)
        codes.append(refusal.value.code)
    assert codes == ["missing_reason", "forbidden", "forbidden", "forbidden"]
    assert not AuditEntry.objects.filter(action="account.suspended").exists()
    account_suspend(user_id=helper.pk, actor=staff, reason="Left the company.", now=T0)
    with pytest.raises(HostingError, match="Say why"):
        machine_suspend(machine_id=market.listed_machine().machine.pk, actor=staff, reason="  ", now=T0)
