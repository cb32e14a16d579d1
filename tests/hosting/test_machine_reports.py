"""Clients report machines, hosts answer without learning who it is, staff dismiss."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from hosting.domain import machine_reports as rules
from hosting.errors import HostingError
from hosting.models import MachineReport
from hosting.services.machine_reports import report_answer, report_dismiss, report_withdraw
from marketplace.errors import MarketError
from marketplace.models import Instance, Notice, User
from marketplace.services.keys import api_key_create
from marketplace.services.lifecycle import instance_destroy
from marketplace.services.machine_reports import machine_report
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def rental() -> Instance:
    agent = market.listed_machine(market.user("host@example.com"))
    renter = market.user("renter@example.com", dollars=10)
    instance = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    return instance


def filed(rental: Instance, kind: str = "gpu", text: str = "Xid 79 after an hour.") -> MachineReport:
    return machine_report(client=rental.client, machine_id=rental.machine_id, kind=kind, text=text, now=T0)


def test_a_report_reaches_the_host_once_and_without_a_name(rental: Instance) -> None:
    report = filed(rental)
    assert filed(rental, text="And again.") == report
    told = Notice.objects.get(kind="machine_report")
    assert told.client == rental.machine.host
    assert "gpu errors" in told.text
    assert "Xid 79" in told.text
    page = Client()
    page.force_login(rental.machine.host)
    for shown in (told.text, page.get(reverse("host_machine", args=[rental.machine_id])).content.decode()):
        assert "Xid 79" in shown
        assert "renter@example.com" not in shown
        assert f"C.{rental.pk}" not in shown


def test_an_answer_reaches_whoever_reported_it(rental: Instance) -> None:
    report = filed(rental)
    host = Client()
    host.force_login(rental.machine.host)
    sent = {"answer": "The riser was loose.", "solved": "on"}
    host.post(reverse("host_report_answer", args=[report.pk]), sent)
    report.refresh_from_db()
    assert (report.state, report.answer) == (rules.SOLVED, "The riser was loose.")
    told = Notice.objects.get(kind="report_answered")
    assert (told.client, "says that it is solved" in told.text) == (rental.client, True)
    renter = Client()
    renter.force_login(rental.client)
    assert "The riser was loose." in renter.get(reverse("instance_report", args=[rental.pk])).content.decode()
    assert filed(rental) != report  # it came back: another report


def test_who_may_report_and_for_how_long(rental: Instance) -> None:
    with pytest.raises(MarketError) as stranger:
        machine_report(client=market.user(), machine_id=rental.machine_id, kind="gpu", text="Bad.", now=T0)
    assert (stranger.value.code, stranger.value.status) == ("no_such_machine", 404)
    instance_destroy(instance_id=rental.pk, actor=rental.client, now=T0)
    Instance.objects.filter(pk=rental.pk).update(destroyed_at=T0)
    client, machine_id = rental.client, rental.machine_id
    late = T0 + rules.ASKED_FOR_DAYS * DAY
    with pytest.raises(MarketError):
        machine_report(client=client, machine_id=machine_id, kind="gpu", text="Bad.", now=late)
    assert machine_report(client=client, machine_id=machine_id, kind="gpu", text="Bad.", now=late - DAY).is_open


@pytest.mark.parametrize(
    ("kind", "text", "field"), [("gpu", "  ", "text"), ("gpu", "x" * 2001, "text"), ("weather", "Rain.", "kind")]
)
def test_nonsense_is_refused_beside_its_field(rental: Instance, kind: str, text: str, field: str) -> None:
    with pytest.raises(HostingError) as refused:
        filed(rental, kind, text)
    assert (refused.value.code, refused.value.field) == ("invalid_args", field)
    assert not MachineReport.objects.exists()


def test_an_account_has_so_many_open_reports(rental: Instance) -> None:
    other = market.listed_machine().machine
    MachineReport.objects.bulk_create(
        MachineReport(
            machine=other, reporter=rental.client, kind="slow", text="Slow.", state=state, created_at=T0 - 2 * DAY
        )
        for state in [rules.WITHDRAWN] * rules.MOST_OPEN_PER_ACCOUNT
    )
    filed(rental)
    for number in range(rules.MOST_OPEN_PER_ACCOUNT - 1):
        machine = market.listed_machine().machine
        MachineReport.objects.create(
            machine=machine, reporter=rental.client, kind="slow", text=str(number), created_at=T0 - 2 * DAY
        )
    with pytest.raises(HostingError) as refused:
        filed(rental, "disk")
    assert (refused.value.code, refused.value.status) == ("too_many_reports", 429)


def test_a_host_is_not_flooded_with_mails(rental: Instance) -> None:
    for _ in range(rules.MOST_A_DAY):
        report_withdraw(report_id=filed(rental).pk, reporter=rental.client, now=T0)
    with pytest.raises(HostingError, match="enough for now"):
        filed(rental)
    assert Notice.objects.filter(kind="machine_report").count() == rules.MOST_A_DAY


def test_whoever_reports_is_not_flooded_with_answers(rental: Instance) -> None:
    report, host = filed(rental), rental.machine.host

    def answer(text: str, *, solved: bool = False) -> None:
        report_answer(report_id=report.pk, host=host, text=text, solved=solved, now=next(moments))

    moments = (T0 + timedelta(minutes=minute) for minute in range(100))
    for _ in range(3):
        answer("Looking.")
    answer("Looking.", solved=True)
    assert Notice.objects.filter(kind="report_answered").count() == 2
    for number in range(rules.MOST_ANSWERS - 2):
        answer(f"More {number}.")
    with pytest.raises(HostingError) as refused:
        answer("And more.")
    assert (refused.value.code, refused.value.status) == ("too_many_answers", 429)
    assert Notice.objects.filter(kind="report_answered").count() == rules.MOST_ANSWERS
    other = filed(rental)
    report_answer(report_id=other.pk, host=host, text="Looking.", solved=False, now=T0)


def test_the_history_tells_what_became_of_it_and_names_no_client(rental: Instance) -> None:
    report = filed(rental)
    report_answer(report_id=report.pk, host=rental.machine.host, text="Looking.", solved=False, now=T0)
    staff = market.user()
    report_dismiss(report_id=report.pk, actor=staff, now=T0)
    events = rental.machine.events.filter(details__report=report.pk).order_by("pk")
    assert [(event.kind, event.actor) for event in events] == [
        ("reported", None),
        ("report_answered", rental.machine.host),
        ("report_dismissed", staff),
    ]


def test_what_was_destroyed_lately_can_be_reported_still(rental: Instance, client: Client) -> None:
    filed(rental)
    with time_machine.travel(T0, tick=False):
        _report_what_is_gone(rental, client)


def _report_what_is_gone(rental: Instance, client: Client) -> None:
    client.force_login(rental.client)
    Instance.objects.filter(pk=rental.pk).update(state="destroyed", destroyed_at=T0)
    page = reverse("instance_report", args=[rental.pk])
    assert "Xid 79" in client.get(page).content.decode()
    assert client.post(page, {"kind": "slow", "text": "It was slow too."}).status_code == 302
    Instance.objects.filter(pk=rental.pk).update(destroyed_at=T0 - (rules.ASKED_FOR_DAYS + 1) * DAY)
    assert client.get(page).status_code == 404


def test_closing_follows_the_table(rental: Instance) -> None:
    report, outsider = filed(rental), market.user()
    for wrong in (
        lambda: report_answer(report_id=report.pk, host=outsider, text="Mine.", solved=True, now=T0),
        lambda: report_withdraw(report_id=report.pk, reporter=outsider, now=T0),
        lambda: report_dismiss(report_id=report.pk + 1, actor=None, now=T0),
    ):
        with pytest.raises(HostingError, match="There is no report"):
            wrong()
    report_withdraw(report_id=report.pk, reporter=rental.client, now=T0)
    for late in (
        lambda: report_withdraw(report_id=report.pk, reporter=rental.client, now=T0),
        lambda: report_dismiss(report_id=report.pk, actor=None, now=T0),
        lambda: report_answer(report_id=report.pk, host=rental.machine.host, text="Oh.", solved=True, now=T0),
    ):
        with pytest.raises(HostingError) as refused:
            late()
        assert refused.value.code == "wrong_state"


def test_by_dialog_api_and_admin(rental: Instance, client: Client) -> None:
    client.force_login(rental.client)
    page = reverse("instance_report", args=[rental.pk])
    empty = client.post(page, {"kind": "slow", "text": ""})
    assert (empty.status_code, "as exactly as you can" in empty.content.decode()) == (422, True)
    client.post(page, {"kind": "slow", "text": "Half the speed."})
    host, renter = rental.machine.host, rental.client
    keys = [{"Authorization": f"Bearer {api_key_create(user=user, name='x', now=T0)[1]}"} for user in (host, renter)]
    address = f"/api/v0/machines/{rental.machine_id}/reports/"
    sent = {"problem": "disk", "message": "Read-only."}
    assert client.post(address, sent, content_type="application/json", headers=keys[1]).json()["success"]
    shown = client.get(address, headers=keys[0]).json()
    assert [(each["problem"], each["message"]) for each in shown] == [
        ("disk", "Read-only."),
        ("slow", "Half the speed."),
    ]
    assert client.get(address, headers=keys[1]).status_code == 404  # for its host alone
    machines = client.get("/api/v0/machines/", headers=keys[0]).json()["machines"]
    assert machines[0]["num_reports"] == 2
    client.force_login(User.objects.create_superuser("boss@example.com", "pass"))
    chosen = list(MachineReport.objects.values_list("pk", flat=True))
    client.post(reverse("admin:hosting_machinereport_changelist"), {"action": "dismiss", "_selected_action": chosen})
    assert set(MachineReport.objects.values_list("state", flat=True)) == {rules.DISMISSED}
