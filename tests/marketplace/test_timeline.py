"""Timelines: the latest first, nothing lost or told twice where a page ends in the middle of an instant."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosting.models import MachineEvent
from marketplace.models import User
from marketplace.services.audit import audit_record
from marketplace.timeline import Moment, Place, account_moments, cut, machine_moments
from tests.plumbing import market
from tests.plumbing.market import T0

LATER = Place(T0 + timedelta(days=1))


def moments(happened: list[tuple[int, str]]) -> list[Moment]:
    """One for each second and kind, the latest first."""
    found = [Moment(T0 + timedelta(seconds=second), kind, n, "") for n, (second, kind) in enumerate(happened)]
    return sorted(found, key=lambda moment: moment.place, reverse=True)


def pages(page_before: Callable[[Place], list[Moment]], size: int) -> list[Moment]:
    """What all pages have together."""
    told: list[Moment] = []
    before: Place | None = LATER
    while before is not None:
        page, before = cut(page_before(before), size)
        assert page or not told
        told += page
    return told


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["audit", "machine"])), max_size=40), st.integers(1, 6))
def test_all_pages_together_are_the_timeline(happened: list[tuple[int, str]], size: int) -> None:
    whole = moments(happened)
    told = pages(lambda before: [moment for moment in whole if moment.place < before][: size + 1], size)
    assert told == whole


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 2, 7])
def test_of_what_happened_at_one_instant_nothing_is_lost(size: int) -> None:
    machine = market.listed_machine().machine
    rows = [MachineEvent(machine=machine, at=T0, kind="online") for _ in range(9)]
    MachineEvent.objects.bulk_create(rows)
    for _ in range(5):
        audit_record(action="machine.suspended", actor=None, about=("machine", machine.pk), now=T0)
    whole = machine_moments(machine.pk, before=LATER, limit=1000)
    assert len(whole) >= 14
    told = pages(lambda before: machine_moments(machine.pk, before=before, limit=size + 1), size)
    assert told == whole
    assert len({moment.place for moment in told}) == len(told)


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 3])
def test_pages_of_an_account_have_its_money_and_mail_once(size: int) -> None:
    user = market.user()
    for _ in range(4):
        market.grant(user, 1)
        audit_record(action="sign_in", actor=user, account_id=user.pk, now=T0)
    told = pages(lambda before: account_moments(user.pk, before=before, limit=size + 1), size)
    assert [moment.kind for moment in told].count("money") == 4
    assert told == account_moments(user.pk, before=LATER, limit=1000)


@pytest.mark.django_db
def test_a_place_at_an_instant_is_before_all_that_happened_then() -> None:
    user = market.user(dollars=1)
    audit_record(action="sign_in", actor=user, account_id=user.pk, now=T0)
    assert account_moments(user.pk, before=Place(T0), limit=10) == []


@pytest.mark.django_db
def test_what_staff_sent_about_an_account_is_part_of_its_timeline() -> None:
    user, staff = market.user(), User.objects.create_superuser("boss@example.com", "pass")
    about = ("marketplace_user_change", user.pk)
    audit_record(action="admin.act", actor=staff, about=about, now=T0)
    audit_record(action="admin.act", actor=staff, about=("marketplace_user_change", staff.pk), now=T0)
    (moment,) = account_moments(user.pk, before=LATER, limit=10)
    assert (moment.who, moment.about) == ("boss@example.com", f"marketplace_user_change {user.pk}")
