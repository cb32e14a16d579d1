"""Hardware that comes back under another number or at another host: what speaks against it comes along."""

from datetime import datetime, timedelta

import msgspec
import pytest

from agent.protocol import GpuFacts, Inventory
from hosting.domain.reliability import NO_HISTORY
from hosting.models import Machine, MachineEvent
from hosting.services.listing import listing_set
from hosting.services.reliability import performance_check_record, reliability_differences, reliability_refresh
from hosting.services.removal import machine_remove
from hosting.services.suspension import machine_restore, machine_suspend
from hosting.services.verification import machine_set_verification
from hosting.services.verification_cases import case_decide, case_open
from marketplace.models import Notice, Offer, User
from marketplace.services.suspensions import account_suspend
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def with_gpus(facts: Inventory, gpus: list[GpuFacts]) -> Inventory:
    return msgspec.structs.replace(facts, gpus=gpus)


def listed(machine: Machine, now: datetime) -> bool:
    """Whether the machine can be rented once its host lists it."""
    TestAgent(machine).report(now)
    listing_set(machine_id=machine.pk, host=machine.host, terms=market.terms(), now=now)
    return Offer.objects.filter(machine=machine, retired_at=None).exists()


def removed_while_suspended(facts: Inventory) -> Machine:
    """As it was possible once."""
    machine = market.register(market.user(), facts)
    machine_remove(machine_id=machine.pk, host=machine.host, now=T0)
    Machine.objects.filter(pk=machine.pk).update(suspended_at=T0, suspended_reason="Stolen.")
    return machine


def test_a_suspension_comes_along_to_another_account_until_staff_have_looked() -> None:
    facts = market.inventory(2)
    first = removed_while_suspended(facts)
    again = market.register(market.user(), with_gpus(facts, facts.gpus[1:]), now=T0 + DAY)
    reason = f"A GPU of it was in machine {first.pk}, which is suspended. We look at it before anybody rents it."
    assert (again.suspended_at, again.suspended_reason) == (T0 + DAY, reason)
    assert not listed(again, T0 + DAY)
    notice = Notice.objects.get(client=again.host, kind="machine_suspended")
    assert reason in notice.text
    machine_restore(machine_id=again.pk, actor=None, now=T0 + 2 * DAY)
    assert Offer.objects.filter(machine=again, retired_at=None).exists()


def test_a_host_whose_account_is_suspended_does_not_come_back_under_another() -> None:
    facts, staff = market.inventory(1), User.objects.create_superuser("boss@example.com", "pass")
    first = market.register(market.user(), facts)
    machine_remove(machine_id=first.pk, host=first.host, now=T0)
    account_suspend(user_id=first.host_id, actor=staff, reason="Fraud.", now=T0)
    again = market.register(market.user(), facts, now=T0 + DAY)
    assert again.suspended_at == T0 + DAY


def test_neither_is_it_lost_by_adding_the_gpu_later() -> None:
    facts, clean = market.inventory(2), market.inventory(1)
    removed_while_suspended(facts)
    machine = market.register(market.user(), clean)
    agent = TestAgent(machine)
    assert listed(machine, T0)
    agent.report(T0 + DAY, inventory=with_gpus(clean, [*clean.gpus, msgspec.structs.replace(facts.gpus[0], index=1)]))
    machine.refresh_from_db()
    assert machine.suspended_at == T0 + DAY
    assert not Offer.objects.filter(machine=machine, retired_at=None).exists()
    machine_restore(machine_id=machine.pk, actor=None, now=T0 + 2 * DAY)
    agent.report(T0 + 3 * DAY, inventory=clean)  # the GPU is away for a moment
    agent.report(
        T0 + 4 * DAY, inventory=with_gpus(clean, [*clean.gpus, msgspec.structs.replace(facts.gpus[0], index=1)])
    )
    machine.refresh_from_db()
    assert machine.suspended_at is None


def test_a_gpu_taken_out_of_a_machine_that_is_suspended_brings_it_along() -> None:
    facts = market.inventory(2)
    first = market.register(market.user(), facts)
    machine_suspend(machine_id=first.pk, actor=None, reason="Stolen.", now=T0)
    TestAgent(first).report(T0, inventory=with_gpus(facts, facts.gpus[:1]))
    again = market.register(first.host, with_gpus(facts, [msgspec.structs.replace(facts.gpus[1], index=0)]), now=T0)
    assert again.suspended_at == T0


def test_a_case_that_is_not_decided_comes_along_and_one_that_was_upheld_deverifies() -> None:
    facts, staff = market.inventory(2), market.user()
    staff.is_staff = True
    first = market.register(market.user(), facts)
    case = case_open(machine=first, evidence="Too slow.", now=T0)
    Machine.objects.filter(pk=first.pk).update(removed_at=T0)
    first.gpus.update(present=False)
    second = market.register(market.user(), facts)
    assert "failed its verification" in second.suspended_reason
    assert second.verification == "deverified"
    case_decide(case_id=case.pk, staff=staff, uphold=True, now=T0)
    second.gpus.update(present=False)
    third = market.register(market.user(), facts, now=T0 + DAY)
    assert third.verification == "deverified"
    assert MachineEvent.objects.filter(machine=third, kind="deverified").count() == 1


def test_what_staff_have_cleared_stays_cleared() -> None:
    facts = market.inventory(2)
    first = market.register(market.user(), facts)
    machine_set_verification(machine_id=first.pk, verification="deverified", actor=None, reason="Fake.", now=T0)
    machine_remove(machine_id=first.pk, host=first.host, now=T0)
    machine = market.register(market.user(), facts)
    machine_set_verification(machine_id=machine.pk, verification="unverified", actor=None, reason="Looked.", now=T0)
    agent = TestAgent(machine)
    for gpus in (facts.gpus[:1], facts.gpus):
        agent.report(T0, inventory=with_gpus(facts, gpus))
    machine.refresh_from_db()
    assert machine.verification == "unverified"


def test_a_bad_reliability_comes_along_and_fades_and_a_good_one_does_not() -> None:
    facts = market.inventory(2)
    bad = market.register(market.user(), facts)
    for _ in range(5):
        performance_check_record(machine_id=bad.pk, passed=False, at=T0 + timedelta(hours=1))
    removed_at = T0 + DAY
    machine_remove(machine_id=bad.pk, host=bad.host, now=removed_at)
    again = market.register(market.user(), facts, now=removed_at + 2 * DAY)
    assert again.reliability_lower < NO_HISTORY.lower
    assert again.events.get(kind="reliability_inherited").details == {"earlier": bad.pk}
    before = again.reliability
    reliability_refresh(machine_ids=[again.pk], now=removed_at + 30 * DAY)
    assert reliability_differences(machine_ids=[again.pk]) == (1, [])
    again.refresh_from_db()
    assert before < again.reliability < NO_HISTORY.shown
    good = market.register(market.user(), market.inventory(2))
    for _ in range(50):
        performance_check_record(machine_id=good.pk, passed=True, at=T0 + timedelta(hours=1))
    machine_remove(machine_id=good.pk, host=good.host, now=removed_at)
    resold = with_gpus(facts, list(market.inventory(1).gpus))
    resold.gpus[0] = msgspec.structs.replace(resold.gpus[0], uuid=good.gpus.get(index=0).uuid)
    bought = market.register(market.user(), resold, now=removed_at + DAY)
    assert (bought.reliability, bought.inherited_tracks) == (NO_HISTORY.shown, None)
