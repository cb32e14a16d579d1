"""Jupyter in the browser: the rent dialog, what pages say of it, and the click that opens it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from agent.protocol import JupyterReport, JupyterState, ObservedTask
from hosting.models import Relay
from hosting.services.relay_leases import relay_seen
from marketplace.models import Instance, User
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

RELAY_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
WISH = {"rental_type": "on_demand", "image": "ubuntu:22.04", "disk_gb": "20", "mode": "jupyter"}


@pytest.fixture
def _relay(settings: Settings) -> None:
    """A relay with a certificate, under another name than the site's."""
    settings.RELAY_HOST = "relay.example"
    settings.RELAY_WEB_HOST = "{id}.relay.example"
    say_of_the_relay(has_tls=True)


def say_of_the_relay(*, has_tls: bool) -> None:
    relay_seen(host_key="ssh-ed25519 AAAA", has_tls=has_tls, started_at=T0, figures={}, now=T0)
    assert Relay.objects.get().has_tls == has_tls


def rent(agent: TestAgent, renter: User, **wish: Any) -> Instance:
    agent.report(T0, relay_key=RELAY_KEY)
    asked = market.wish(**({"mode": "jupyter", "runtype": "jupyter", "use_jupyter_lab": True} | wish))
    return instance_rent(client=renter, offer_id=market.offer(agent).pk, request=asked, now=T0)


def run(agent: TestAgent, instance: Instance, state: JupyterState, message: str = "") -> None:
    """The instance runs, and its Jupyter is so far."""
    jupyter = JupyterReport(state=state, message=message)
    observed = ObservedTask(
        task_id=instance.task_id, phase="running", run_generation=1, age_seconds=0.0, jupyter=jupyter
    )
    agent.report(T0, observed)


def opening(web: Client, instance: Instance) -> Any:
    return web.get(f"/instances/{instance.pk}/jupyter/")


def test_the_dialog_rents_with_jupyter(web: Client, renter: User, agent: TestAgent) -> None:
    url = f"/offers/{market.offer(agent).pk}/rent/"
    assert "JupyterLab" in text(web.get(url, headers=HTMX))
    wish = WISH | {"use_jupyter_lab": "False", "jupyter_dir": " /work ", "onstart": "echo hi", "args": "ignored"}
    assert web.post(url, wish).status_code == 302
    instance = Instance.objects.get(client=renter)
    assert (instance.mode, instance.runtype, instance.args) == ("jupyter", "jupyter", [])
    assert (instance.use_jupyter_lab, instance.jupyter_dir, instance.onstart) == (False, "/work", "echo hi")


def test_other_modes_ignore_what_is_meant_for_jupyter(web: Client, renter: User, agent: TestAgent) -> None:
    wish = WISH | {"mode": "ssh", "use_jupyter_lab": "True", "jupyter_dir": "not one"}
    assert web.post(f"/offers/{market.offer(agent).pk}/rent/", wish).status_code == 302
    instance = Instance.objects.get(client=renter)
    assert (instance.mode, instance.use_jupyter_lab, instance.jupyter_dir) == ("ssh", False, "")


def test_a_refusal_stands_beside_its_field(web: Client, agent: TestAgent) -> None:
    url = f"/offers/{market.offer(agent).pk}/rent/"
    refused = web.post(url, WISH | {"jupyter_dir": "work"})
    assert refused.status_code == 422
    assert "must be an absolute path" in field_errors(refused, "jupyter_dir")
    agent.abilities = []
    agent.report(T0)
    assert "too old for the launch mode Jupyter" in text(web.post(url, WISH))


@pytest.mark.usefixtures("_relay")
def test_one_click_opens_it_when_it_is_ready(web: Client, renter: User, agent: TestAgent) -> None:
    instance = rent(agent, renter)
    run(agent, instance, "starting")
    assert "Jupyter is starting. SSH works meanwhile." in text(web.get("/instances/"))
    assert "Open Jupyter" not in text(web.get("/instances/"))
    run(agent, instance, "ready")
    page = web.get(f"/instances/{instance.pk}/")
    assert "Open Jupyter" in text(page)
    assert instance.jupyter_token not in page.content.decode()
    opened = opening(web, instance)
    port = instance.task.relay_leases.get(container_port=8080).relay_port
    assert (port % 2, opened.status_code) == (0, 302)
    expected = f"https://{instance.pk}.relay.example:{port}/login?next=%2F&token={instance.jupyter_token}"
    assert opened.headers["Location"] == expected
    assert opened.headers["Referrer-Policy"] == "no-referrer"
    assert "no-store" in opened.headers["Cache-Control"]


@pytest.mark.usefixtures("_relay")
def test_nobody_else_opens_it(web: Client, other_web: Client, renter: User, agent: TestAgent) -> None:
    instance = rent(agent, renter)
    run(agent, instance, "ready")
    assert opening(other_web, instance).status_code == 404
    assert opening(Client(), instance).headers["Location"].startswith("/accounts/login/")
    assert other_web.get(f"/instances/{instance.pk}/connect/").status_code == 404
    assert web.post(f"/instances/{instance.pk}/jupyter/").status_code == 405


@pytest.mark.usefixtures("_relay")
@pytest.mark.parametrize(
    ("state", "message", "shown"),
    [
        ("starting", "", "Jupyter is starting."),
        ("installing", "pip installs jupyterlab.", "pip installs jupyterlab."),
        ("failed", "The image has no Python.", "The image has no Python."),
    ],
)
def test_what_is_not_ready_says_why(
    web: Client, renter: User, agent: TestAgent, state: JupyterState, message: str, shown: str
) -> None:
    instance = rent(agent, renter)
    run(agent, instance, state, message)
    assert shown in text(web.get("/instances/cards/", headers=HTMX))
    assert shown in text(web.get(f"/instances/{instance.pk}/connect/", headers=HTMX))
    refused = opening(web, instance)
    assert refused.headers["Location"] == f"/instances/{instance.pk}/"
    assert shown in text(web.get(refused.headers["Location"]))


@pytest.mark.usefixtures("_relay")
def test_connect_explains_the_tunnel_too(web: Client, renter: User, agent: TestAgent) -> None:
    instance = rent(agent, renter)
    run(agent, instance, "ready")
    page = web.get(f"/instances/{instance.pk}/connect/", headers=HTMX)
    assert "Open JupyterLab" in text(page)
    assert f'data-copy="http://localhost:8080/?token={instance.jupyter_token}"' in page.content.decode()
    assert "-L 8080:localhost:8080" in page.content.decode()


@pytest.mark.parametrize("reason", ["no certificate", "no relay", "the site's own name"])
def test_without_a_safe_address_the_tunnel_is_the_way(
    web: Client, renter: User, agent: TestAgent, settings: Settings, reason: str
) -> None:
    settings.RELAY_HOST = "" if reason == "no relay" else "relay.example"
    settings.RELAY_WEB_HOST = "relay.example"
    settings.SITE_URL = "https://relay.example" if reason == "the site's own name" else "https://gpu.example"
    say_of_the_relay(has_tls=reason != "no certificate")
    instance = rent(agent, renter)
    run(agent, instance, "ready")
    page = web.get(f"/instances/{instance.pk}/")
    assert "Open Jupyter" not in text(page)
    assert "Jupyter is ready. It is opened through SSH: see Connect." in text(page)
    connect = web.get(f"/instances/{instance.pk}/connect/", headers=HTMX)
    assert "http://localhost:8080/?token=" in connect.content.decode()
    assert opening(web, instance).headers["Location"] == f"/instances/{instance.pk}/"


@pytest.mark.usefixtures("_relay")
def test_a_certificate_that_browsers_warn_of_is_announced(
    web: Client, renter: User, agent: TestAgent, settings: Settings
) -> None:
    instance = rent(agent, renter)
    run(agent, instance, "ready")
    connect = f"/instances/{instance.pk}/connect/"
    assert "will warn of the certificate" not in text(web.get(connect))
    settings.RELAY_TLS_SELF_SIGNED = True
    assert "will warn of the certificate" in text(web.get(connect))


def test_an_agent_that_was_replaced_by_an_older_one_is_named(web: Client, renter: User, agent: TestAgent) -> None:
    instance = rent(agent, renter)
    agent.abilities = []
    agent.obey(T0 + timedelta(seconds=1))
    assert "too old for Jupyter. SSH works." in text(web.get(f"/instances/{instance.pk}/"))


def test_an_ssh_instance_has_no_jupyter(web: Client, renter: User, agent: TestAgent) -> None:
    instance = rent(agent, renter, mode="ssh", runtype="ssh")
    agent.obey(T0)
    assert "Jupyter" not in text(web.get(f"/instances/{instance.pk}/connect/", headers=HTMX))
    refused = opening(web, instance)
    assert "has no Jupyter" in text(web.get(refused.headers["Location"]))


def test_the_page_tells_of_keys_as_with_ssh(web: Client, renter: User, agent: TestAgent) -> None:
    instance = rent(agent, renter)
    host_key = f"ssh-ed25519 SHA256:{'k' * 43}"
    agent.report(
        T0,
        ObservedTask(
            task_id=instance.task_id, phase="running", run_generation=1, age_seconds=0.0, host_keys=[host_key]
        ),
    )
    shown = text(web.get(f"/instances/{instance.pk}/"))
    assert "Those of your account" in shown
    assert host_key in shown
    assert "on-start script writes" in text(web.get(f"/instances/{instance.pk}/logs/"))
