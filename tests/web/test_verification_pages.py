"""Verification on the machine's page, in the admin and on the help page."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from hosting.models import Machine, Measurement, VerificationCase
from hosting.services.challenge_sweeps import challenge_ask
from hosting.services.verification_cases import case_open
from marketplace.models import User
from tests.plumbing import benchmarks, market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import text

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(settings: Settings) -> TestAgent:
    """A listed machine."""
    settings.DLPERF_IMAGE = benchmarks.IMAGE
    return market.listed_machine()


@pytest.fixture
def host_web(client: Client, agent: TestAgent) -> Client:
    """A browser of the machine's host."""
    client.force_login(agent.machine.host)
    return client


def page(agent: TestAgent) -> str:
    return f"/host/machines/{agent.machine.pk}/"


def case_of(agent: TestAgent) -> VerificationCase:
    return case_open(machine=agent.machine, evidence="The product is <wrong>.", now=T0 + timedelta(hours=1))


def test_the_host_asks_for_a_challenge(host_web: Client, agent: TestAgent) -> None:
    assert "No challenge yet." in text(host_web.get(page(agent)))
    shown = text(host_web.post(f"{page(agent)}challenge/", follow=True))
    assert "The challenge begins as soon as" in shown
    assert "A challenge runs now" in shown
    assert Measurement.objects.get().reason == "host"


def test_the_host_sees_what_the_machine_lacks(host_web: Client, agent: TestAgent) -> None:
    shown = text(host_web.get(page(agent)))
    assert "It can't be verified as it is." not in shown
    Machine.objects.filter(pk=agent.machine.pk).update(inet_up_mbps=1.0)
    shown = text(host_web.get(page(agent)))
    assert "Upload: 1 Mbit/s, at least 5 Mbit/s needed. Use a faster line" in shown


def test_a_case_shows_its_evidence_and_takes_one_appeal(host_web: Client, agent: TestAgent) -> None:
    case = case_of(agent)
    shown = text(host_web.get(page(agent)))
    for words in (f"Case {case.pk}, open.", "The product is &lt;wrong&gt;.", "Appeal"):
        assert words in shown or words.replace("&lt;", "<").replace("&gt;", ">") in shown, words
    address = f"{page(agent)}cases/{case.pk}/appeal/"
    assert "Say what is wrong" in text(host_web.post(address, {"text": ""}, follow=True))
    shown = text(host_web.post(address, {"text": "A loose riser."}, follow=True))
    assert "You appealed: A loose riser." in shown
    assert "appealed or decided already" in text(host_web.post(address, {"text": "Again."}, follow=True))


def test_others_can_neither_challenge_nor_appeal(client: Client, agent: TestAgent) -> None:
    case = case_of(agent)
    client.force_login(market.user())
    assert client.post(f"{page(agent)}challenge/").status_code == 404
    assert client.post(f"{page(agent)}cases/{case.pk}/appeal/", {"text": "x"}).status_code == 404
    case.refresh_from_db()
    assert (case.state, Measurement.objects.count()) == ("open", 0)


@pytest.mark.parametrize(
    ("action", "state", "verification"),
    [
        ("uphold", "upheld", "deverified"),
        ("overturn", "overturned", "unverified"),
    ],
)
def test_staff_decide_in_the_admin(
    client: Client, agent: TestAgent, action: str, state: str, verification: str
) -> None:
    case = case_of(agent)
    client.force_login(User.objects.create_superuser("staff@example.com", "pass"))
    form = {"action": action, "_selected_action": [case.pk]}
    assert f"Case {case.pk}: {state}." in text(client.post("/admin/hosting/verificationcase/", form, follow=True))
    case.refresh_from_db()
    assert (case.state, case.machine.verification) == (state, verification)
    assert "decided already" in text(client.post("/admin/hosting/verificationcase/", form, follow=True))


def test_staff_see_challenges_and_findings(client: Client, agent: TestAgent) -> None:
    challenge_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)
    client.force_login(User.objects.create_superuser("staff@example.com", "pass"))
    for name in ("challengerun", "verificationfinding", "verificationcase", "measurement"):
        assert client.get(f"/admin/hosting/{name}/").status_code == 200


def test_the_help_page_tells_how_machines_are_verified(client: Client) -> None:
    shown = text(client.get("/help/"))
    assert "We compare actual compute results." in shown
    assert "down to 4 hours" in shown


def test_the_host_is_told_when_it_asks_too_often(host_web: Client, agent: TestAgent) -> None:
    host_web.post(f"{page(agent)}challenge/")
    Measurement.objects.update(state="failed", finished_at=timezone.now())
    assert "You can challenge a machine once in 10 minutes." in text(
        host_web.post(f"{page(agent)}challenge/", follow=True)
    )
