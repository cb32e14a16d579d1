"""Pages of volumes: the list, creating one by itself and with an instance, and deleting it."""

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from hosting.models import Volume
from marketplace.domain.rent import VolumeWish
from marketplace.models import Instance, User
from marketplace.services.rent import instance_rent
from marketplace.services.volumes import volume_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


@pytest.fixture
def volume(renter: User, agent: TestAgent) -> Volume:
    made = volume_rent(client=renter, offer_id=market.offer(agent).pk, size_gb=72, label="data", now=T0)
    agent.keep_volumes(T0, used_mb=36 * 1024)
    return made


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_no_volumes_yet(web: Client, agent: TestAgent) -> None:
    assert "No volumes yet" in text(web, "/volumes/")
    assert "1000 GB" in text(web, "/volumes/new/")
    agent.abilities = []
    agent.report(T0)
    assert "No machine has disk" in text(web, "/volumes/new/")


def test_the_list(web: Client, renter: User, agent: TestAgent, volume: Volume) -> None:
    page = text(web, "/volumes/")
    assert all(word in page for word in ("data", "Ready", "72 GB, 50% used", "$7.20", "Delete"))
    request = market.wish(volumes=(VolumeWish(path="/data", volume_id=volume.pk),))
    instance = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=request, now=T0)
    page = text(web, "/volumes/cards/")
    assert f"C.{instance.pk}" in page
    assert f"/volumes/{volume.pk}/delete/" not in page
    assert "<code>/data</code>" in text(web, f"/instances/{instance.pk}/")


def test_the_list_asks_the_same_number_of_questions_for_any_number(
    web: Client, renter: User, agent: TestAgent, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(6):
        volume_rent(client=renter, offer_id=market.offer(agent).pk, size_gb=5, label=f"v{number}", now=T0)
    with django_assert_max_num_queries(12):
        web.get("/volumes/")


def test_creating_one(web: Client, agent: TestAgent) -> None:
    path = f"/offers/{market.offer(agent, 4).pk}/volume/"
    assert "$0.10 per GB" in text(web, path)
    sent = {"size": "50", "name": "data", "key": "k"}
    assert web.post(path, sent).headers["Location"] == "/volumes/"
    assert web.post(path, sent, headers={"HX-Request": "true"}).headers["HX-Redirect"] == "/volumes/"
    assert Volume.objects.get().size_gb == 50
    refused = web.post(path, sent | {"size": "5000", "key": "l", "name": "b"})
    assert refused.status_code == 422
    assert "950 GB of disk left" in refused.content.decode()


def test_deleting_one(web: Client, other_web: Client, agent: TestAgent, volume: Volume) -> None:
    path = f"/volumes/{volume.pk}/delete/"
    assert "can't be undone" in text(web, path).replace("&#x27;", "'")
    assert other_web.get(path).status_code == 404
    assert other_web.post(path).status_code == 404
    assert web.post(path).headers["Location"] == "/volumes/"
    assert "Deleting" in text(web, "/volumes/")
    agent.keep_volumes(T0)
    assert "No volumes yet" in text(web, "/volumes/")


def rental(**more: str) -> dict[str, str]:
    return {"rental_type": "on_demand", "image": "ubuntu:22.04", "disk_gb": "10", "mode": "ssh"} | more


def test_renting_with_a_volume(web: Client, agent: TestAgent, volume: Volume) -> None:
    path = f"/offers/{market.offer(agent).pk}/rent/"
    page = text(web, path)
    assert f'value="{volume.pk}">data, 72 GB' in page
    assert f"{path}?volume={volume.pk}" in text(web, "/volumes/")
    assert f'value="{volume.pk}" selected>data, 72 GB' in text(web, f"{path}?volume={volume.pk}")
    answer = web.post(path, rental(volume_info=str(volume.pk), volume_path="/mnt/"))
    assert answer.headers["Location"] == "/instances/"
    assert Instance.objects.get().task.spec["volumes"] == [{"volume_id": volume.pk, "path": "/mnt"}]


def test_renting_with_a_new_volume(web: Client, agent: TestAgent) -> None:
    offer = market.offer(agent)
    asked = f"/offers/{offer.pk}/price/?disk_gb=10&volume_info=%2B&volume_size=72"
    assert "72 GB volume" in text(web, asked)
    new = rental(volume_info="+", volume_size="72", volume_name="data", volume_path="/data")
    refused = web.post(f"/offers/{offer.pk}/rent/", new | {"volume_path": "/etc"})
    assert refused.status_code == 422
    assert "can&#x27;t be mounted on /etc" in refused.content.decode()
    assert web.post(f"/offers/{offer.pk}/rent/", new | {"volume_size": "x"}).status_code == 422
    assert web.post(f"/offers/{offer.pk}/rent/", new | {"volume_size": "2000"}).status_code == 422
    assert not Volume.objects.exists()
    assert web.post(f"/offers/{offer.pk}/rent/", new).status_code == 302
    assert (Volume.objects.get().size_gb, Volume.objects.get().label) == (72, "data")
