"""Redis is away: what would only have been quicker with it goes on."""

import copy

import pytest
import redis
from django.conf import settings as site
from django.core.cache import cache
from django.test import Client
from pytest_django.fixtures import Settings

from billing.features import feature_on
from hosting.gateways import presence
from marketplace.models import User
from marketplace.services.features import feature_switch
from marketplace.services.keys import api_key_create
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db

NOWHERE = "redis://127.0.0.1:9/0"
SIGNUP = {"email": "new@example.com", "password1": "a-long-enough-phrase", "password2": "a-long-enough-phrase"}


@pytest.fixture(autouse=True)
def _redis_is_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    caches = copy.deepcopy(site.CACHES)
    caches["default"]["LOCATION"] = NOWHERE
    settings.CACHES = caches
    settings.REDIS_URL = NOWHERE
    monkeypatch.setattr(presence, "client", lambda: redis.Redis.from_url(NOWHERE))


def test_machines_join_are_listed_and_rented() -> None:
    agent = market.listed_machine()
    renter = market.user(dollars=10)
    instance = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    assert instance.task.gpu_claims.filter(released_at=None).count() == 1


def test_accounts_are_opened_and_signed_in_to(client: Client) -> None:
    assert client.post("/accounts/signup/", SIGNUP).status_code == 302
    assert User.objects.filter(email=SIGNUP["email"]).exists()
    user = market.user("known@example.com")
    user.set_password(SIGNUP["password1"])
    user.save()
    wrong = Client().post("/accounts/login/", {"login": user.email, "password": "another"})
    assert wrong.status_code == 200, "the form again, with what is wrong"
    assert Client().post("/accounts/login/", {"login": user.email, "password": SIGNUP["password1"]}).status_code == 302


def test_the_api_answers(client: Client) -> None:
    _, key = api_key_create(user=market.user(), name="laptop", now=T0)
    answer = client.get("/api/v0/instances/?owner=me", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200


def test_a_switch_is_taken_and_counts() -> None:
    chosen, other, boss = market.user(), market.user(), market.user()
    feature_switch(name="rent", everyone=False, actor=boss, now=T0)
    feature_switch(name="move", everyone=None, accounts=[chosen], actor=boss, now=T0)
    assert (feature_on("rent"), feature_on("rent", chosen)) == (False, False)
    assert (feature_on("move", chosen), feature_on("move", other)) == (True, False)
    assert feature_on("sign_up"), "what was never switched is on"


def test_health_tells_of_it() -> None:
    with pytest.raises(redis.ConnectionError):
        Client().get("/healthz/")


def test_a_redis_that_hangs_keeps_nobody_waiting_for_long() -> None:
    how = cache._cache.get_client().connection_pool.connection_kwargs  # type: ignore[attr-defined]  # Django's own way
    assert (how["socket_timeout"], how["socket_connect_timeout"]) == (2, 2)
