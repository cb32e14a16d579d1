"""Whatever is used, settled, told late and invoiced when: the invoices of all weeks sum to the ledger."""

from datetime import datetime, timedelta

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import services
from billing.domain.weeks import week_end_after, week_end_by
from billing.models import AccountKind, HostInvoice, HostInvoiceLine, Meter
from billing.selectors import ledger_check
from billing.selectors.weeks import week_preview
from marketplace.models import User
from tests.billing.ledger import posted_micros
from tests.billing.opening import open_traffic
from tests.billing.weeks import FRIDAY, HOUR, WEEK, open_on

pytestmark = pytest.mark.django_db

references = st.sampled_from(["a", "b", "c"])
hours = st.integers(0, 200)
actions = st.one_of(
    st.tuples(st.just("resume"), references, st.integers(-30, 0)),
    st.tuples(st.just("pause"), references, st.integers(-30, 0)),
    st.tuples(st.just("bytes"), st.just("t"), st.integers(0, 10**12)),
    st.tuples(st.just("settle"), st.just(""), st.just(0)),
    st.tuples(st.just("weeks"), st.just(""), st.just(0)),
)
stories = st.lists(st.tuples(hours, actions), max_size=14)


@given(at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001  # made aware below
def test_every_instant_belongs_to_one_week(at: datetime) -> None:
    instant = at.replace(tzinfo=FRIDAY.tzinfo)
    end = week_end_after(instant)
    assert end - WEEK < instant <= end
    assert (end - FRIDAY) % WEEK == timedelta(0)
    assert week_end_by(instant) == (end if instant == end else end - WEEK)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories)
def test_invoices_sum_to_the_ledger(
    client_user: User, host_user: User, staff: User, story: list[tuple[int, tuple[str, str, int]]]
) -> None:
    """Two hosts; agents tell of starts and stops up to thirty hours late, also of weeks that are invoiced."""
    with transaction.atomic():
        now = FRIDAY - 3 * HOUR
        open_on("machine:1", client_user, host_user, now, reference="a", rate=123_457)
        open_on("machine:2", client_user, host_user, now, reference="b", rate=77_777, share=3_333)
        open_on("machine:3", client_user, staff, now, reference="c", rate=1_000_003, running=False)
        open_traffic("t", client_user, host_user, now)
        for passed, (name, reference, argument) in story:
            now += passed * HOUR
            act(name, reference, argument, now)
        invoices_of_closed_books(now, client_user, [host_user, staff])
        transaction.set_rollback(True)


def act(name: str, reference: str, argument: int, now: datetime) -> None:
    if name == "resume":
        services.meter_resume(reference=reference, now=now + argument * HOUR)
    elif name == "pause":
        services.meter_pause(reference=reference, at=now + argument * HOUR)
    elif name == "bytes":
        services.traffic_count(reference=reference, bytes_total=argument, now=now)
    elif name == "settle":
        services.settle_running(now=now)
    else:
        services.weekly_runs(now=now)
        assert services.weekly_runs(now=now) == []


def invoices_of_closed_books(now: datetime, client: User, hosts: list[User]) -> None:
    """Everything ends; once the week is over, all that was charged is on invoices, and on each host's own."""
    for reference in Meter.objects.values_list("reference", flat=True):
        services.meter_close(reference=reference, at=now)
    end = week_end_after(now)
    services.weekly_runs(now=end - timedelta(microseconds=1))
    shown = week_preview(end, now)
    services.weekly_runs(now=end)
    assert shown == week_preview(end, end)
    for host in hosts:
        net = HostInvoice.objects.filter(host=host).aggregate(sum=Sum("net_micros"))["sum"] or 0
        assert net == posted_micros(AccountKind.HOST_EARNINGS, host)
    for rows in (HostInvoice.objects, HostInvoiceLine.objects):
        gross = rows.aggregate(sum=Sum("gross_micros"))["sum"] or 0
        assert gross == -posted_micros(AccountKind.CLIENT_CREDIT, client)
    assert ledger_check(end) == []
