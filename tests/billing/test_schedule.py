"""What beat runs."""

from datetime import datetime, timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command

from billing import tasks
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
    assert tasks.check_ledger() == 3


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
