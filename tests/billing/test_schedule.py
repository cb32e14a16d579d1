"""What beat runs."""

from datetime import datetime, timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command

from billing import tasks
from billing.domain.checks import LastCheck, check_is_due
from billing.models import Entry, LedgerAccount, LedgerCheckRun
from billing.schedule import BEAT_SCHEDULE
from marketplace.celery import app
from marketplace.models import User
from tests.billing.opening import open_gpu

pytestmark = pytest.mark.django_db


def test_every_scheduled_task_exists() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} <= set(app.tasks)


def test_the_settlement_ends_with_the_full_hour(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("m", client_user, host_user, now)
    with time_machine.travel(now + timedelta(hours=1, seconds=4), tick=False):
        assert tasks.settle_running_meters() == 1
        assert tasks.settle_running_meters() == 0
    assert Entry.objects.get().occurred_at == now + timedelta(hours=1)


def test_checkpoints_and_proofs_run(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("m", client_user, host_user, now)
    with time_machine.travel(now + timedelta(hours=1), tick=False):
        tasks.settle_running_meters()
        assert tasks.checkpoint_ledger() == 3
        assert tasks.check_ledger() == 0
    assert LedgerCheckRun.objects.get().ran_at == now + timedelta(hours=1)
    LedgerAccount.objects.update(checkpoint_micros=1)
    with time_machine.travel(now + timedelta(hours=2), tick=False):
        assert tasks.check_ledger() == 0  # one a night
    with time_machine.travel(now + timedelta(days=1), tick=False):
        assert tasks.check_ledger() == 3
    assert LedgerCheckRun.objects.count() == 2


@pytest.mark.parametrize(
    ("ran_at", "now", "is_due"),
    [
        (None, "07 00:00", True),
        ("06 03:20", "06 03:20", False),
        ("06 03:20", "07 03:19", False),
        ("06 03:20", "07 03:20", True),
        ("06 23:00", "07 03:19", False),
        ("06 23:00", "07 09:00", True),
        ("04 03:25", "07 01:00", True),
    ],
)
def test_a_check_is_due_when_the_last_nights_is_missing(ran_at: str | None, now: str, is_due: bool) -> None:
    last = LastCheck(_at(ran_at), 0) if ran_at else None
    assert check_is_due(last, _at(now)) == is_due


def _at(text: str) -> datetime:
    return datetime.strptime(f"2026-03-{text}+0000", "%Y-%m-%d %H:%M%z")


def test_the_settle_command(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("m", client_user, host_user, now)
    said = StringIO()
    with time_machine.travel(now + timedelta(hours=2), tick=False):
        call_command("settle", at=(now + timedelta(hours=1)).isoformat(), stdout=said)
        call_command("settle", stdout=said)
        for nonsense in ("tomorrow", "2026-03-06T12:00:00", "2026-13-06T12:00:00+00:00", "2026-03-07T12:00:00+00:00"):
            with pytest.raises(CommandError):
                call_command("settle", at=nonsense)
    assert said.getvalue() == "1 entries posted.\n1 entries posted.\n"
