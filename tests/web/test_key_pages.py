"""Keys in the browser: of one instance, wrong ones, those of hosts, and on-start scripts that fail."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from agent.protocol import ObservedTask
from marketplace.models import Instance, InstanceKey, User
from marketplace.services.rent import instance_rent
from tests.api.test_keys import public_key
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

HOST_KEY = f"ssh-ed25519 SHA256:{'k' * 43}"
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb"


@pytest.fixture
def instance(agent: TestAgent, renter: User) -> Instance:
    """It runs."""
    wish = market.wish(onstart="exit 3")
    found = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=wish, now=T0)
    agent.obey(T0)
    return found


def tell(agent: TestAgent, instance: Instance, **told: object) -> None:
    facts = {"task_id": instance.task_id, "phase": "running", "run_generation": 1, "age_seconds": 0.0} | told
    agent.report(T0, ObservedTask(**facts))  # type: ignore[arg-type]  # fields by name


def test_a_key_is_attached_shown_and_detached(web: Client, instance: Instance) -> None:
    key = public_key("colleague@work")
    address = f"/instances/{instance.pk}/keys/"
    done = web.post(address, {"ssh_key": key}, headers=HTMX)
    assert (done.status_code, "dialog-close" in done["HX-Trigger"]) == (204, True)
    shown = text(web.get(address, headers=HTMX))
    assert "colleague@work" in shown
    assert "and 1 of its own" in text(web.get(f"/instances/{instance.pk}/"))
    pk = InstanceKey.objects.get().pk
    assert web.post(f"{address}{pk}/detach/", headers=HTMX).status_code == 204
    assert not InstanceKey.objects.exists()
    assert "SSH key attached" in text(web.get(f"/instances/{instance.pk}/"))


def test_a_wrong_key_is_explained_beside_the_box(web: Client, instance: Instance) -> None:
    refused = web.post(f"/instances/{instance.pk}/keys/", {"ssh_key": PRIVATE})
    assert refused.status_code == 422
    assert "never give it to anyone" in field_errors(refused, "ssh_key")


def test_others_see_and_change_nothing(other_web: Client, instance: Instance) -> None:
    for address in (f"/instances/{instance.pk}/keys/", f"/instances/{instance.pk}/keys/1/detach/"):
        assert other_web.post(address, {"ssh_key": public_key()}).status_code == 404
    assert other_web.get(f"/instances/{instance.pk}/keys/").status_code == 404


def test_a_paste_is_judged_before_it_is_sent(web: Client) -> None:
    check = "/account/ssh-keys/check/"
    assert "A complete ssh-ed25519 key, “me@home”" in text(web.post(check, {"ssh_key": public_key()}))
    assert "cut off" in text(web.post(check, {"ssh_key": public_key()[:50]}))
    assert text(web.post(check, {"ssh_key": " "})) == ""
    assert "<script>" not in web.post(check, {"ssh_key": "<script>x</script>"}).content.decode()
    assert Client().post(check, {"ssh_key": "x"}).status_code == 302


def test_host_keys_are_shown_to_compare(web: Client, agent: TestAgent, instance: Instance) -> None:
    for page in ("", "connect/"):
        assert "Compare when" not in text(web.get(f"/instances/{instance.pk}/{page}"))
    tell(agent, instance, host_keys=[HOST_KEY])
    for page in ("", "connect/"):
        shown = text(web.get(f"/instances/{instance.pk}/{page}"))
        assert HOST_KEY in shown
        assert "Compare when" in shown


def test_a_failing_script_is_shown_with_its_last_lines(web: Client, agent: TestAgent, instance: Instance) -> None:
    tell(agent, instance, onstart_exit_code=3, onstart_output="step one\n<b>no such file</b>")
    page = web.get(f"/instances/{instance.pk}/live/", headers=HTMX)
    shown = text(page)
    assert "The on-start script failed with exit code 3." in shown
    assert "step one <b>no such file</b>" in shown
    assert "<b>no such file" not in page.content.decode()
    instance.refresh_from_db()
    assert instance.state == "running"
    tell(agent, instance, onstart_exit_code=0)
    shown = text(web.get(f"/instances/{instance.pk}/live/", headers=HTMX))
    assert "failed" not in shown
    assert "Script ended well" in shown


@pytest.fixture
def signed_in(page: Page, live_server: LiveServer) -> Page:
    """A browser of an account, on its own page."""
    browser = Client()
    browser.force_login(market.user("ada@example.com"))
    page.context.add_cookies(
        [{"name": "sessionid", "value": browser.cookies["sessionid"].value, "url": live_server.url}]
    )
    page.goto(f"{live_server.url}/account/")
    return page


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_box_answers_while_one_pastes(signed_in: Page) -> None:
    assert timezone.now() - T0 < timedelta(days=1)
    box = signed_in.get_by_label("Change SSH Key")
    box.fill(PRIVATE)
    expect(signed_in.locator("#key-check")).to_contain_text("never give it to anyone")
    box.fill(public_key("ada@laptop"))
    expect(signed_in.locator("#key-check")).to_contain_text("A complete ssh-ed25519 key, “ada@laptop”")
