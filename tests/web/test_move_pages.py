"""Moves, and copies from URLs, on pages."""

import pytest
from django.test import Client

from marketplace.models import Instance, Move, User
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def instance(agent: TestAgent, renter: User) -> Instance:
    """It runs."""
    made = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(label="mine"), now=T0)
    agent.obey(T0)
    return Instance.objects.get(pk=made.pk)


def test_a_move_is_begun_and_canceled(web: Client, agent: TestAgent, instance: Instance, renter: User) -> None:
    url = f"/instances/{instance.pk}/move/"
    assert "No other machine offers 1 GPU" in text(web.get(url))
    other = market.listed_machine()
    offer = market.offer(other)
    shown = text(web.get(url))
    assert f"machine {other.machine.pk}" in shown
    assert f"machine {agent.machine.pk}" not in shown
    form = {"offer_id": offer.pk, "rental_type": "on_demand", "price": ""}
    assert "Stop it first" in text(web.post(url, form, headers=HTMX))
    instance_stop(instance_id=instance.pk, actor=renter, now=T0)
    agent.obey(T0)
    assert "Choose an offer" in text(web.post(url, form | {"offer_id": ""}, headers=HTMX))
    refused = web.post(url, form | {"rental_type": "interruptible"}, headers=HTMX)
    assert "Name your bid" in field_errors(refused, "price")
    assert web.post(url, form, headers=HTMX).status_code == 204
    move = Move.objects.get()
    for one in (move.source, move.target):
        assert f"Moving from C.{move.source_id} to C.{move.target_id}" in text(web.get(f"/instances/{one.pk}/live/"))
    web.post(f"/instances/{instance.pk}/move/cancel/", headers=HTMX)
    shown = text(web.get(f"/instances/{instance.pk}/live/"))
    assert "Moving from" not in shown
    assert "Move to another machine" in shown
    assert Instance.objects.get(pk=move.target_id).state == "destroying"


def test_a_url_copy_is_begun_and_canceled(web: Client, instance: Instance) -> None:
    url = f"/instances/{instance.pk}/copy-url/"
    form = {"direction": "download", "path": "/srv/", "url": "https://example.com/x.tar?sig=SECRET"}
    assert "Give the whole path" in field_errors(web.post(url, form | {"path": "x"}, headers=HTMX), "path")
    refused = web.post(url, form | {"url": "", "bucket": "b"}, headers=HTMX)
    assert "Give the whole address" in field_errors(refused, "endpoint")
    assert web.post(url, form, headers=HTMX).status_code == 204
    live = web.get(f"/instances/{instance.pk}/live/")
    assert "https://example.com/x.tar" in text(live)
    assert "SECRET" not in live.content.decode()
    job_id = instance.task.jobs.get().pk
    web.post(f"/instances/{instance.pk}/copy-url/{job_id}/cancel/", headers=HTMX)
    assert "Canceled" in text(web.get(f"/instances/{instance.pk}/live/"))
