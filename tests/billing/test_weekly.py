"""Weekly invoices: which postings are on them, once, whatever comes when."""

from datetime import datetime, timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from billing import services, tasks
from billing.domain.errors import WeekNotOverError
from billing.models import AccountKind, Entry, HostInvoice, HostInvoiceLine, Posting, WeeklyRun
from billing.selectors import ledger_check
from marketplace.models import Notice, User
from tests.billing.ledger import posted_micros
from tests.billing.opening import open_traffic
from tests.billing.weeks import FRIDAY, HOUR, WEEK, invoice, lines, open_on

pytestmark = pytest.mark.django_db


@pytest.fixture
def rented(client_user: User, host_user: User) -> None:
    """Machine 7 has run since Thursday noon, $0.36 an hour."""
    open_on("machine:7", client_user, host_user, FRIDAY - 12 * HOUR)


@pytest.mark.usefixtures("rented")
def test_the_week_ends_on_friday_to_the_microsecond(host_user: User) -> None:
    """Twelve hours of the week, and the hour after belongs to the next."""
    assert [run.period_end for run in services.weekly_runs(now=FRIDAY + HOUR)] == [FRIDAY]
    row = invoice(host_user)
    assert (row.number, row.period_start, row.period_end) == (f"20260306-{host_user.pk}", FRIDAY - WEEK, FRIDAY)
    assert (row.gross_micros, row.fee_micros, row.net_micros) == (4_320_000, 1_080_000, 3_240_000)
    assert lines(row) == [("machine:7", "gpu", 12 * 3600, 4_320_000, 1_080_000, 3_240_000)]
    assert posted_micros(AccountKind.HOST_EARNINGS, host_user) == 3_240_000


def test_lines_by_machine_and_kind(client_user: User, host_user: User) -> None:
    for reference in ("a", "b"):
        open_on("machine:7", client_user, host_user, FRIDAY - 2 * HOUR, reference=reference)
    open_on("machine:7", client_user, host_user, FRIDAY - 10 * HOUR, reference="disk", kind="storage", rate=3_600)
    open_on("machine:8", client_user, host_user, FRIDAY - HOUR, reference="c")
    open_traffic("up", client_user, host_user, FRIDAY - HOUR)
    services.traffic_count(reference="up", bytes_total=1_500_000_000, now=FRIDAY - HOUR)
    services.weekly_runs(now=FRIDAY)
    assert lines(invoice(host_user)) == [
        ("", "traffic", 1_500_000_000, 15_000, 3_750, 11_250),
        ("machine:7", "gpu", 4 * 3600, 1_440_000, 360_000, 1_080_000),
        ("machine:7", "storage", 10 * 3600, 36_000, 9_000, 27_000),
        ("machine:8", "gpu", 3600, 360_000, 90_000, 270_000),
    ]


@pytest.mark.usefixtures("rented")
def test_another_run_inserts_nothing() -> None:
    services.weekly_runs(now=FRIDAY)
    before = list(HostInvoice.objects.values()), list(HostInvoiceLine.objects.values()), Entry.objects.count()
    assert services.weekly_runs(now=FRIDAY + HOUR) == []
    run = WeeklyRun.objects.get()
    assert services.weekly_run_repeat(run_id=run.pk)
    assert not services.weekly_run_repeat(run_id=run.pk)
    assert services.weekly_runs(now=FRIDAY + HOUR) == [run]
    assert before == (
        list(HostInvoice.objects.values()),
        list(HostInvoiceLine.objects.values()),
        Entry.objects.count(),
    )
    run.refresh_from_db()
    assert (run.state, run.invoices_count, run.gross_micros, run.net_micros) == ("done", 1, 4_320_000, 3_240_000)


@pytest.mark.usefixtures("rented")
def test_a_repeat_makes_what_is_missing(host_user: User) -> None:
    services.weekly_runs(now=FRIDAY)
    wanted = lines(invoice(host_user))
    HostInvoiceLine.objects.all().delete()
    HostInvoice.objects.all().delete()
    services.weekly_run_repeat(run_id=WeeklyRun.objects.get().pk)
    services.weekly_runs(now=FRIDAY + 30 * HOUR)
    assert lines(invoice(host_user)) == wanted


def test_what_is_posted_late_is_on_the_next_invoice(client_user: User, host_user: User) -> None:
    """The run of an hour on Thursday becomes known on Friday morning, when the week is invoiced."""
    open_on("machine:7", client_user, host_user, FRIDAY - 20 * HOUR, running=False)
    services.weekly_runs(now=FRIDAY + HOUR)
    assert not HostInvoice.objects.exists()
    services.meter_resume(reference="m", now=FRIDAY - 3 * HOUR)
    services.meter_pause(reference="m", at=FRIDAY - 2 * HOUR)
    assert Entry.objects.get().occurred_at == FRIDAY - 2 * HOUR
    services.weekly_runs(now=FRIDAY + WEEK)
    row = invoice(host_user)
    assert (row.period_end, row.gross_micros) == (FRIDAY + WEEK, 360_000)


def test_weeks_that_were_missed_each_have_their_own(client_user: User, host_user: User) -> None:
    """Nobody invoiced for three weeks, while use was settled every twenty hours: a posting belongs to its end."""
    open_on("machine:7", client_user, host_user, FRIDAY - HOUR)
    for passed in range(20, 504, 20):
        services.settle_running(now=FRIDAY + passed * HOUR)
    runs = services.weekly_runs(now=FRIDAY + 3 * WEEK)
    assert [(run.period_end, run.invoices_count) for run in runs] == [
        (FRIDAY, 0),
        (FRIDAY + WEEK, 1),
        (FRIDAY + 2 * WEEK, 1),
        (FRIDAY + 3 * WEEK, 1),
    ]
    gross = HostInvoice.objects.order_by("period_end").values_list("gross_micros", flat=True)
    assert list(gross) == [hours * 360_000 for hours in (21 + 140, 160, 180 + 4)]
    assert sum(gross) == -posted_micros(AccountKind.CLIENT_CREDIT, client_user)


@pytest.mark.usefixtures("rented")
def test_a_week_that_is_not_over(host_user: User) -> None:
    with pytest.raises(WeekNotOverError):
        services.weekly_runs(now=FRIDAY - timedelta(microseconds=1), until=FRIDAY)
    assert services.weekly_runs(now=FRIDAY - timedelta(microseconds=1)) == []
    assert not WeeklyRun.objects.exists()
    assert not HostInvoice.objects.filter(host=host_user).exists()


def test_nothing_to_do_before_there_are_meters() -> None:
    assert services.weekly_runs(now=FRIDAY) == []
    assert not WeeklyRun.objects.exists()


def test_a_share_of_nothing_is_invoiced_too(client_user: User, host_user: User) -> None:
    open_on("machine:7", client_user, host_user, FRIDAY - HOUR, share=0)
    services.weekly_runs(now=FRIDAY)
    assert lines(invoice(host_user)) == [("machine:7", "gpu", 3600, 360_000, 360_000, 0)]


@pytest.mark.usefixtures("rented")
def test_hosts_are_told_once(host_user: User) -> None:
    with time_machine.travel(FRIDAY + HOUR, tick=False):
        assert tasks.invoice_weeks() == 1
        assert tasks.invoice_weeks() == 0
    notice = Notice.objects.get()
    assert (notice.client, notice.kind, notice.instance) == (host_user, "invoice_issued", None)
    assert notice.subject == f"Invoice 20260306-{host_user.pk}: $3.24 earned"
    assert "clients paid $4.32, of which $1.08 are the marketplace's fee" in notice.text


@pytest.mark.usefixtures("rented")
def test_the_database_keeps_one_invoice_a_week(host_user: User) -> None:
    services.weekly_runs(now=FRIDAY)
    row = invoice(host_user)
    row.pk, row.number = None, "another"
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


def say(*arguments: str, at: datetime = FRIDAY + HOUR) -> str:
    out = StringIO()
    with time_machine.travel(at, tick=False):
        call_command("weekly_run", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("rented")
def test_the_dry_run_shows_what_the_run_does(host_user: User) -> None:
    shown = say("--date", "2026-03-06", "--dry-run")
    assert f"Invoice 20260306-{host_user.pk}: net 3.24 dollars\n  machine:7 gpu: gross 4.32, net 3.24\n" in shown
    assert not Posting.objects.exists()
    assert not WeeklyRun.objects.exists()
    assert "Week to 2026-03-06: 1 invoices, gross 4.32, fee 1.08, net 3.24 dollars.\n1 hosts" in say(
        "--date", "2026-03-06"
    )
    assert say("--date", "2026-03-06", "--dry-run") == shown
    assert "needs nothing" in say()


@pytest.mark.usefixtures("rented")
def test_the_dry_run_of_a_week_that_lasts_shows_it_so_far(host_user: User) -> None:
    """Ten of twelve hours; and with the week before not invoiced, none of that one's."""
    assert "net 2.70 dollars" in say("--date", "2026-03-06", "--dry-run", at=FRIDAY - 2 * HOUR)
    say()
    assert f"Invoice 20260313-{host_user.pk}: net 0.81 dollars" in say(
        "--date", "2026-03-13", "--dry-run", at=FRIDAY + 3 * HOUR
    )


def test_the_command_refuses_what_is_no_day_or_ahead() -> None:
    with pytest.raises(CommandError, match="not a day"):
        say("--date", "tomorrow")
    with pytest.raises(CommandError, match="not over"):
        say("--date", "2026-03-13")


@pytest.mark.usefixtures("rented")
def test_the_books_hold() -> None:
    services.weekly_runs(now=FRIDAY)
    assert ledger_check(FRIDAY) == []
