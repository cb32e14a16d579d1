"""What staff and Prometheus are told about the books and the workers' backlog."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from billing.domain.checks import LastCheck, check_alarms
from billing.models import LedgerAccount
from billing.services import ledger_check_record
from marketplace.models import DirtyMark
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0
from tests.web.pages import text

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def test_the_front_page_alarms_about_discrepancies(staff: Client) -> None:
    market.user(dollars=5)
    with time_machine.travel(T0, tick=False):
        assert "The ledger has never been checked." in text(staff.get("/admin/"))
        ledger_check_record(now=T0)
        assert "The ledger held when it was last checked, at 2026-03-02 12:00 UTC." in text(staff.get("/admin/"))
        LedgerAccount.objects.update(checkpoint_micros=1)
        ledger_check_record(now=T0)
        assert "found 2 discrepancies in the ledger" in text(staff.get("/admin/"))
        assert "held" not in text(staff.get("/admin/"))


def test_a_check_that_stays_away_is_an_alarm_too() -> None:
    last = LastCheck(T0, 0)
    assert check_alarms(last, T0 + 26 * HOUR) == []
    assert check_alarms(last, T0 + 26 * HOUR + timedelta(seconds=1)) == [
        "The ledger was last checked at 2026-03-02 12:00 UTC, more than a day ago."
    ]
    assert len(check_alarms(LastCheck(T0, 3), T0 + 30 * HOUR)) == 2


def figures(client: Client, **headers: str) -> dict[str, float]:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_metrics_tell_of_the_ledger_and_the_backlog(staff: Client) -> None:
    agent = market.listed_machine()
    poor = market.user(dollars=1)
    instance_rent(client=poor, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    DirtyMark.objects.create(machine=agent.machine, marked_at=T0)
    LedgerAccount.objects.filter(kind="adjustments").update(checkpoint_micros=1)
    ledger_check_record(now=T0)
    with time_machine.travel(T0 + 3 * HOUR, tick=False):
        found = {name: value for name, value in figures(staff).items() if not name.startswith("spotyard_relay_")}
        assert found == {
            "spotyard_ledger_discrepancies": 1,
            "spotyard_ledger_check_age_seconds": 3 * 3600,
            "spotyard_clients_exhausted": 1,
            "spotyard_clients_overdue": 0,
            "spotyard_clearing_marks_waiting": 1,
            "spotyard_payments_in_flight": 0,
            "spotyard_payouts_in_flight": 0,
            "spotyard_provider_events_waiting": 0,
            "spotyard_adjustments_waiting": 0,
        }


def test_metrics_are_for_staff_and_for_who_knows_the_token(client: Client, settings: Settings) -> None:
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 403
    settings.METRICS_TOKEN = "a-long-enough-secret"
    assert client.get("/metrics", headers={"Authorization": "Bearer a-long-enough-secre"}).status_code == 403
    assert figures(client, Authorization="Bearer a-long-enough-secret")["spotyard_ledger_check_age_seconds"] == float(
        "inf"
    )
    client.force_login(market.user(), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/metrics").status_code == 403
