"""What a case against a machine holds of its host's earnings, and for how long."""

import importlib

import pytest
from django.apps import apps
from django.db import transaction
from django.test import Client
from pytest_django.fixtures import Settings

from billing.models import AccountTerms, PayoutHold
from billing.services import payouts_hold
from dlperf.challenge.plan import Plan
from hosting.locks import lock_machine
from hosting.models import VerificationCase
from hosting.services import challenge_questions
from hosting.services.verification import machine_set_verification
from hosting.services.verification_cases import case_decide, case_open
from marketplace.models import User
from tests.dlperf.challenges import TINY
from tests.hosting.challenging import (
    after,
    challenged,
    failed_twice,
    has_earned,
    held,
    held_micros,
    machine_of,
)
from tests.plumbing import benchmarks, market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import text

pytestmark = pytest.mark.django_db
MIGRATION = importlib.import_module("marketplace.migrations.0027_amounts_of_cases_held")


@pytest.fixture(autouse=True)
def _tiny(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DLPERF_IMAGE = benchmarks.IMAGE

    def tiny(*_facts: object, **_more: object) -> Plan:
        return TINY

    monkeypatch.setattr(challenge_questions, "plan_for", tiny)


@pytest.fixture
def agent() -> TestAgent:
    return machine_of()


@pytest.fixture
def staff() -> User:
    user = market.user()
    User.objects.filter(pk=user.pk).update(is_staff=True)
    return User.objects.get(pk=user.pk)


def hold() -> PayoutHold:
    return PayoutHold.objects.get()


def test_what_the_machine_earned_since_it_last_passed_is_held_and_no_more(agent: TestAgent) -> None:
    has_earned(agent, T0, 9_000_000, "while it was good")
    challenged(agent, after(10))
    agent.report(after(50 * 3600))
    has_earned(agent, after(50 * 3600), 70_000_001)
    challenged(agent, after(50 * 3600), error=1)
    assert held_micros(agent) == 0, "one failure has no consequences"
    challenged(agent, after(51 * 3600), error=1)
    case = VerificationCase.objects.get()
    assert (case.earned_micros, case.holds_payouts, held_micros(agent)) == (70_000_001, True, 70_000_001)
    assert held(agent) == "", "the rest is paid as usual"
    assert (hold().earner, hold().since, hold().held_at) == (f"machine:{agent.machine.pk}", after(40), case.opened_at)
    assert hold().reason == f"Machine {agent.machine.pk} failed its verification (case {case.pk})."


def test_overturned_it_is_released(agent: TestAgent, staff: User) -> None:
    has_earned(agent, after(50), 5_000_000)
    case = failed_twice(agent)
    case_decide(case_id=case.pk, staff=staff, uphold=False, now=after(300))
    assert (hold().state, hold().ended_at, held_micros(agent)) == ("released", after(300), 0)


def test_upheld_it_stays_held(agent: TestAgent, staff: User) -> None:
    has_earned(agent, after(50), 5_000_000)
    case = failed_twice(agent)
    case_decide(case_id=case.pk, staff=staff, uphold=True, now=after(300))
    assert (hold().state, hold().ended_at, held_micros(agent)) == ("upheld", None, 5_000_000)


def test_each_case_of_a_host_holds_its_own_amount(staff: User) -> None:
    host = market.user()
    first = machine_of(host)
    has_earned(first, after(50), 5_000_000, "first")
    case = failed_twice(first)
    second = machine_of(host, hostname="second")
    has_earned(second, after(50), 3_000_000, "second")
    failed_twice(second)
    assert held_micros(second) == 8_000_000
    case_decide(case_id=case.pk, staff=staff, uphold=False, now=after(300))
    assert held_micros(second) == 3_000_000


def test_what_an_upheld_case_holds_no_other_one_holds_too(agent: TestAgent, staff: User) -> None:
    has_earned(agent, after(50), 5_000_000)
    case = failed_twice(agent)
    case_decide(case_id=case.pk, staff=staff, uphold=True, now=after(300))
    machine_set_verification(
        machine_id=agent.machine.pk, verification="unverified", actor=staff, reason="Repaired.", now=after(400)
    )
    has_earned(agent, after(7200), 2_000_000, "since")
    with transaction.atomic():
        other = case_open(machine=lock_machine(agent.machine.pk), evidence="Again.", now=after(7200))
    assert (other.window_start, other.earned_micros) == (case.opened_at, 2_000_000)
    assert held_micros(agent) == 7_000_000


def test_a_case_about_a_machine_that_earned_nothing_holds_nothing(agent: TestAgent, staff: User) -> None:
    case = failed_twice(agent)
    assert (case.earned_micros, case.holds_payouts, held_micros(agent)) == (0, False, 0)
    case_decide(case_id=case.pk, staff=staff, uphold=True, now=after(300))
    assert not PayoutHold.objects.exists()


def test_a_case_leaves_staffs_own_hold_as_it_is(agent: TestAgent, staff: User) -> None:
    payouts_hold(host_id=agent.machine.host.pk, actor=staff, reason="A stolen card.", now=T0)
    has_earned(agent, after(50), 5_000_000)
    case = failed_twice(agent)
    assert (held_micros(agent), held(agent)) == (5_000_000, "A stolen card.")
    case_decide(case_id=case.pk, staff=staff, uphold=False, now=after(300))
    assert (held_micros(agent), held(agent)) == (0, "A stolen card.")


def test_the_hosts_page_says_how_much(agent: TestAgent, staff: User, client: Client) -> None:
    has_earned(agent, after(50), 5_000_001)
    case = failed_twice(agent)
    client.force_login(agent.machine.host)
    page = f"/host/machines/{agent.machine.pk}/"
    assert "$5.000001 of your earnings is held until it is decided while the rest is paid as usual." in text(
        client.get(page)
    )
    case_decide(case_id=case.pk, staff=staff, uphold=True, now=after(300))
    assert "$5.000001 of your earnings is held while the rest is paid as usual." in text(client.get(page))
    PayoutHold.objects.update(state="released", ended_at=after(400))
    assert "$5.000001 was held, and is paid with your next payout." in text(client.get(page))


def as_before(case: VerificationCase, reason: str) -> None:
    """As an installation left it that held all payouts."""
    PayoutHold.objects.all().delete()
    AccountTerms.objects.update_or_create(owner=case.machine.host, defaults={"payouts_held_reason": reason})


@pytest.mark.parametrize("uphold", [False, True])
def test_a_hold_of_all_payouts_becomes_the_amount_and_back(agent: TestAgent, staff: User, uphold: bool) -> None:
    has_earned(agent, after(50), 5_000_000)
    case = failed_twice(agent)
    if uphold:
        case_decide(case_id=case.pk, staff=staff, uphold=True, now=after(300))
    reason = hold().reason
    kept = PayoutHold.objects.values_list(
        "host_id", "reference", "earner", "since", "held_at", "amount_micros", "reason", "state"
    )
    expected = list(kept)
    as_before(case, reason)
    MIGRATION.hold_amounts(apps, None)
    assert (held(agent), list(kept)) == ("", expected)
    MIGRATION.hold_accounts(apps, None)
    assert (held(agent), held_micros(agent)) == (reason, 0)
    MIGRATION.hold_amounts(apps, None)
    assert (held(agent), list(kept)) == ("", expected)


def test_other_holds_are_what_they_were(agent: TestAgent, staff: User) -> None:
    """Staff's own, beside which the case holds its amount; and what staff have let go stays let go."""
    has_earned(agent, after(50), 5_000_000)
    case = failed_twice(agent)
    as_before(case, "The account is suspended.")
    MIGRATION.hold_amounts(apps, None)
    assert (held(agent), held_micros(agent)) == ("The account is suspended.", 5_000_000)
    as_before(case, "")
    MIGRATION.hold_amounts(apps, None)
    assert (held(agent), held_micros(agent)) == ("", 0)
    case_decide(case_id=case.pk, staff=staff, uphold=True, now=after(300))
    as_before(case, "Another one.")
    MIGRATION.hold_amounts(apps, None)
    assert held_micros(agent) == 0
