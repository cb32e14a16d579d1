"""Instances in the browser."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from agent.protocol import ObservedTask
from hosting.services.offline import machine_mark_offline
from marketplace.models import Instance, User
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

ACTIONS = ["start", "stop", "reboot", "destroy"]


@pytest.fixture
def instance(agent: TestAgent, renter: User) -> Instance:
    """Rented, not started yet."""
    wish = market.wish(env={"TOKEN": "<b>x</b>"}, onstart="echo hello", label="mine")
    return instance_rent(client=renter, offer_id=market.offer(agent).pk, request=wish, now=T0)


@pytest.fixture
def running(agent: TestAgent, instance: Instance) -> Instance:
    agent.obey(T0)
    return instance


def observe(agent: TestAgent, instance: Instance, **facts: Any) -> None:
    task = ObservedTask(task_id=instance.task_id, run_generation=1, age_seconds=0.0, **facts)
    agent.report(T0, task)


def state_of(instance: Instance) -> str:
    instance.refresh_from_db()
    return instance.state


def test_nobody_has_instances_at_first(web: Client) -> None:
    assert "No instances yet" in text(web.get("/instances/"))


def test_progress_of_the_pull_is_shown_in_words_and_percent(web: Client, agent: TestAgent, instance: Instance) -> None:
    observe(agent, instance, phase="pulling", progress=0.43)
    shown = text(web.get("/instances/cards/", headers=HTMX))
    assert "Loading" in shown
    assert "Pulling the image. 43%" in shown


def test_a_failed_start_is_shown_with_its_reason_and_costs_nothing(
    web: Client, agent: TestAgent, instance: Instance
) -> None:
    observe(agent, instance, phase="failed", reason="image_missing", message="The image ubuntu:99 does not exist.")
    shown = text(web.get("/instances/cards/", headers=HTMX))
    assert "Error" in shown
    assert "The image ubuntu:99 does not exist." in shown
    with time_machine.travel(T0 + timedelta(hours=1), tick=False):
        assert "Cost so far $0.0000" in text(web.get("/instances/"))


@pytest.mark.usefixtures("running")
def test_a_running_instance_shows_cost_rate_uptime_and_lifetime(web: Client) -> None:
    with time_machine.travel(T0 + timedelta(hours=2, minutes=5), tick=False):
        shown = text(web.get("/instances/"))
    assert "1 of 1 running, $0.502 per hour now" in shown
    for fact in (
        "Running",
        "1\N{MULTIPLICATION SIGN} RTX 3090",
        "Cost so far $1.0446",
        "Running for 2 h 5 min",
        "Lifetime left 89 d 21:55:00",
    ):
        assert fact in shown, fact


@pytest.mark.usefixtures("running")
def test_a_machine_out_of_reach_is_said(web: Client, agent: TestAgent) -> None:
    later = T0 + timedelta(minutes=2)
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=T0, now=later)
    shown = text(web.get("/instances/"))
    assert "Offline" in shown
    assert "Until it is back, its GPUs cost nothing." in shown


def test_connect_gives_the_commands_to_copy(web: Client, running: Instance) -> None:
    page = web.get(f"/instances/{running.pk}/connect/", headers=HTMX)
    html = page.content.decode()
    port = running.ssh_port
    assert f'data-copy="ssh -p {port} root@192.0.2.7 -L 8080:localhost:8080"' in html
    assert f'data-copy="scp -P {port} LOCAL_FILE root@192.0.2.7:/root/"' in html
    assert f'data-copy="scp -P {port} root@192.0.2.7:/root/REMOTE_FILE ."' in html
    assert "You have stored no SSH key" in text(page)


def test_connect_says_when_it_does_not_run(web: Client, instance: Instance) -> None:
    assert "does not run now (loading)" in text(web.get(f"/instances/{instance.pk}/connect/"))


def test_stop_start_reboot_and_destroy(web: Client, agent: TestAgent, running: Instance) -> None:
    assert web.post(f"/instances/{running.pk}/reboot/", headers=HTMX).status_code == 204
    agent.obey(T0)
    assert web.post(f"/instances/{running.pk}/stop/", headers=HTMX).status_code == 204
    assert state_of(running) == "stopping"
    agent.obey(T0)
    assert state_of(running) == "stopped"
    assert "Stopped. Its disk is kept" in text(web.get("/instances/"))
    response = web.post(f"/instances/{running.pk}/start/", headers=HTMX)
    assert "instances-changed" in response.headers["HX-Trigger"]
    assert state_of(running) == "loading"
    assert web.post(f"/instances/{running.pk}/destroy/", headers=HTMX).status_code == 204
    assert state_of(running) == "destroying"
    agent.obey(T0)
    assert "No instances yet" in text(web.get("/instances/"))


def test_without_scripts_an_action_shows_the_list(web: Client, running: Instance) -> None:
    response = web.post(f"/instances/{running.pk}/stop/")
    assert (response.status_code, response.headers["Location"]) == (302, "/instances/")
    assert f"Instance {running.pk} is stopping. Its disk is kept." in text(web.get("/instances/"))


def test_destroy_asks_first(web: Client, running: Instance) -> None:
    shown = text(web.get(f"/instances/{running.pk}/destroy/", headers=HTMX))
    assert "deletes its container with all data on its disk" in shown
    assert state_of(running) == "running"


@pytest.mark.parametrize("action", ACTIONS)
def test_reading_never_acts(web: Client, running: Instance, action: str) -> None:
    assert web.get(f"/instances/{running.pk}/{action}/").status_code in (200, 405)
    assert state_of(running) == "running"


def test_label(web: Client, instance: Instance) -> None:
    path = f"/instances/{instance.pk}/label/"
    assert 'value="mine"' in web.get(path, headers=HTMX).content.decode()
    assert web.post(path, {"label": "renamed"}, headers=HTMX).status_code == 204
    assert "renamed" in text(web.get("/instances/"))
    too_long = web.post(path, {"label": "x" * 257}, headers=HTMX)
    assert too_long.status_code == 422
    assert "A label has at most 256 characters." in field_errors(too_long, "label")


def test_the_page_of_one_instance_shows_configuration_and_history(web: Client, running: Instance) -> None:
    page = web.get(f"/instances/{running.pk}/")
    shown = text(page)
    facts = (
        "ubuntu:22.04",
        "TOKEN=<b>x</b>",
        "echo hello",
        "22/tcp → 192.0.2.7:",
        "Rented by you",
        "Running",
    )
    assert [fact for fact in facts if fact not in shown] == []
    assert "<b>x</b>" not in page.content.decode()


def test_the_live_part_leaves_once_the_instance_is_gone(web: Client, agent: TestAgent, running: Instance) -> None:
    web.post(f"/instances/{running.pk}/destroy/")
    agent.obey(T0)
    response = web.get(f"/instances/{running.pk}/live/", headers=HTMX)
    assert (response.status_code, response.headers["HX-Redirect"]) == (204, "/instances/")
    assert web.get(f"/instances/{running.pk}/").status_code == 404


@pytest.mark.parametrize("part", ["", "connect/", "label/", "destroy/"])
def test_other_peoples_instances_do_not_exist(other_web: Client, running: Instance, part: str) -> None:
    assert other_web.get(f"/instances/{running.pk}/{part}").status_code == 404


@pytest.mark.parametrize("action", [*ACTIONS, "label"])
def test_nobody_acts_on_other_peoples_instances(other_web: Client, running: Instance, action: str) -> None:
    assert other_web.post(f"/instances/{running.pk}/{action}/", {"label": "stolen"}).status_code == 404
    assert other_web.post(f"/instances/{running.pk}/{action}/", headers=HTMX).status_code == 404
    assert state_of(running) == "running"
    assert running.label == "mine"


@pytest.mark.usefixtures("running")
def test_other_peoples_instances_are_not_listed(other_web: Client) -> None:
    assert "No instances yet" in text(other_web.get("/instances/"))


def test_a_full_disk_is_told_as_long_as_it_is_full(web: Client, agent: TestAgent, running: Instance) -> None:
    page = f"/instances/{running.pk}/live/"
    full_mb = running.disk_gb * 1024
    for used_mb, is_told in ((full_mb // 2, False), (full_mb * 98 // 100, True), (100, False)):
        observe(agent, running, phase="running", disk_used_mb=used_mb, disk_full=is_told)
        assert ("The disk is full" in text(web.get(page))) is is_told
