"""Copies on pages."""

from typing import Any

import pytest
from django.test import Client

from agent.job_protocol import JobReport
from marketplace.models import Copy, Instance, User
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair(agent: TestAgent, renter: User) -> tuple[Instance, Instance]:
    made = [
        instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(label=name), now=T0)
        for name in ("first", "second")
    ]
    agent.obey(T0)
    return made[0], made[1]


def begin(web: Client, source: Instance, target: Instance, **values: str) -> Any:
    form = {"source": str(source.pk), "source_path": "/root/a", "target_path": "/root/b"} | values
    return web.post(f"/instances/{target.pk}/copy/", form, headers=HTMX)


def test_a_copy_is_begun_followed_and_canceled(web: Client, agent: TestAgent, pair: tuple[Instance, Instance]) -> None:
    source, target = pair
    assert f"C.{source.pk} first" in text(web.get(f"/instances/{target.pk}/copy/"))
    assert begin(web, source, target).status_code == 204
    copy = Copy.objects.select_related("job").get()
    assert copy.job is not None
    for instance in pair:
        shown = text(web.get(f"/instances/{instance.pk}/"))
        assert f"C.{source.pk}:/root/a" in shown
        assert "Waiting for the machine." in shown
    report = JobReport(job_id=copy.job.pk, state="running", progress=0.42, message="1.3 GB copied, 30.0 MB/s")
    agent.report(T0, jobs=[report])
    shown = text(web.get(f"/instances/{target.pk}/live/"))
    assert "42%" in shown
    assert "1.3 GB copied, 30.0 MB/s" in shown
    web.post(f"/instances/{target.pk}/copy/cancel/", headers=HTMX)
    assert "Canceled" in text(web.get(f"/instances/{target.pk}/live/"))


def test_refusals_stand_beside_their_fields(web: Client, pair: tuple[Instance, Instance]) -> None:
    refused = begin(web, *pair, target_path="here")
    assert refused.status_code == 422
    assert "Give the whole path" in text(refused)
    assert not Copy.objects.exists()


def test_who_has_nothing_to_copy_from_is_told(web: Client, renter: User, pair: tuple[Instance, Instance]) -> None:
    instance_stop(instance_id=pair[0].pk, actor=renter, now=T0)
    assert "no other instance with SSH that runs" in text(web.get(f"/instances/{pair[1].pk}/copy/"))
    assert "does not run" in text(web.get(f"/instances/{pair[0].pk}/copy/"))
    assert web.get("/instances/999999/copy/").status_code == 404
