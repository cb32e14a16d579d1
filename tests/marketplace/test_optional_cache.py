"""Without Redis features are read from the database."""

import pytest
import redis
from django.core.cache import cache
from waffle import get_waffle_flag_model

from billing.features import feature_on
from marketplace.caches import OptionalRedisCache

pytestmark = pytest.mark.django_db

AWAY = OptionalRedisCache("redis://127.0.0.1:1/0", {"OPTIONS": {"socket_connect_timeout": 1}})


def test_what_is_read_is_not_there_and_what_is_changed_fails() -> None:
    assert AWAY.get("key", "default") == "default"
    assert AWAY.add("key", "value") is False
    with pytest.raises(redis.RedisError):
        AWAY.delete("key")


def test_features_are_read_from_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    get_waffle_flag_model().objects.create(name="moves", everyone=False)
    monkeypatch.setattr("waffle.models.get_cache", lambda: AWAY)
    assert feature_on("registration")
    assert not feature_on("moves")


def test_the_sites_cache_is_of_that_kind() -> None:
    assert isinstance(cache._connections[cache._alias], OptionalRedisCache)  # type: ignore[attr-defined]
