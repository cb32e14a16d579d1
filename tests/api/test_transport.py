"""What holds for every address: keys, refusals, content type, slashes, limits, the published schema."""

import io
import json
import logging
import secrets

import pytest
from django.test import Client
from django.urls import URLPattern
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from marketplace.api.urls import urlpatterns
from marketplace.models import ApiKey
from tests.api.calls import Api

NEEDS_A_KEY = [
    ("PUT", "/asks/1/"),
    ("GET", "/api/v1/instances/"),
    ("GET", "/instances/"),
    ("PUT", "/instances/"),
    ("DELETE", "/instances/"),
    ("GET", "/instances/filters/"),
    ("GET", "/instances/1/"),
    ("PUT", "/instances/1/"),
    ("DELETE", "/instances/1/"),
    ("PUT", "/instances/reboot/1/"),
    ("GET", "/ssh/"),
    ("POST", "/ssh/"),
    ("PUT", "/ssh/1/"),
    ("DELETE", "/ssh/1/"),
    ("GET", "/auth/apikeys/"),
    ("POST", "/auth/apikeys/"),
    ("GET", "/auth/apikeys/1/"),
    ("DELETE", "/auth/apikeys/1/"),
    ("GET", "/users/current"),
    ("GET", "/machines"),
    ("GET", "/machines/1"),
    ("PUT", "/machines/create_asks/"),
    ("DELETE", "/machines/1/asks/"),
]


@pytest.mark.parametrize(("method", "path"), NEEDS_A_KEY)
def test_private_addresses_need_a_valid_key(anyone: Api, method: str, path: str) -> None:
    refused = anyone.send(method, path, {})
    assert (refused.status, refused.error) == (401, "not_authenticated")
    refused = Api("syk_wrong").send(method, path, {})
    assert (refused.status, refused.error) == (401, "invalid_api_key")


@pytest.mark.parametrize("path", ["/gpu_names/unique/", "/gpu_types/"])
def test_public_addresses_need_none(anyone: Api, path: str) -> None:
    assert anyone.get(path).status == 200
    assert anyone.post("/bundles/").status == 200


def test_a_revoked_key_opens_nothing(api: Api) -> None:
    assert api.get("/users/current").status == 200
    key = ApiKey.objects.get()
    assert api.delete(f"/auth/apikeys/{key.pk}/").status == 200
    assert api.get("/users/current").error == "invalid_api_key"


def test_old_clients_send_the_key_in_the_address_and_no_log_sees_it(api: Api) -> None:
    assert api.key
    seen = io.StringIO()
    handler = logging.StreamHandler(seen)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        answer = Client().get(f"/api/v0/users/current?owner=me&api_key={api.key}")
        missing = Client().get(f"/api/v0/nothing?api_key={api.key}&x=%20y")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert answer.json()["email"] == "client@example.com"
    assert missing.status_code == 404
    assert answer.wsgi_request.get_full_path() == "/api/v0/users/current?owner=me"
    assert missing.wsgi_request.get_full_path() == "/api/v0/nothing?x=+y"
    assert api.key not in seen.getvalue()


def test_a_key_in_the_header_wins_over_one_in_the_address(api: Api) -> None:
    answer = Client().get("/api/v0/users/current?api_key=wrong", headers={"Authorization": f"Bearer {api.key}"})
    assert answer.status_code == 200


def test_addresses_work_with_and_without_their_last_slash(api: Api) -> None:
    for path in ("/users/current", "/users/current/", "/instances/", "/instances", "/machines", "/machines/"):
        assert api.get(path).status == 200, path


def test_unknown_addresses_and_methods_are_json(api: Api, anyone: Api) -> None:
    for caller in (api, anyone):
        assert caller.get("/no/such/thing/").error == "no_such_endpoint"
        assert caller.send("PATCH", "/nothing", {}).error == "no_such_endpoint"
        assert caller.get("/api/v7/instances/").error == "no_such_endpoint"
        for method in ("SCHEMA", "DISPATCH", "OPTIONS", "HTTP_METHOD_NAMES", "\N{LATIN SMALL LETTER E WITH ACUTE}"):
            assert caller.send(method, "/nothing", {}).error == "no_such_endpoint", method
    assert api.send("SCHEMA", "/users/current", {}).error == "method_not_allowed"
    assert api.get("/instances/99999999999999999999/").error == "no_such_endpoint"
    refused = api.post("/users/current")
    assert (refused.status, refused.error) == (405, "method_not_allowed")


def test_a_body_that_is_no_json_is_refused(api: Api) -> None:
    for body in (b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"ssh_key": "\\ud800"}'):
        refused = api.send("POST", "/bundles/", body)
        assert (refused.status, refused.error) == (400, "invalid_json"), body[:20]
    form = Client().post("/api/v0/bundles/", {"num_gpus": "1"})
    assert (form.status_code, form.json()["error"]) == (415, "unsupported_media_type")


def test_a_body_of_the_wrong_shape_is_refused(api: Api) -> None:
    wrong: list[object] = [[], 7, "text", [{}]]
    for body in wrong:
        assert api.post("/bundles/", body).error == "invalid_query"
        assert api.post("/ssh/", body).error == "invalid_args"
        assert api.put("/search/asks/", body).error == "invalid_args"


def test_too_many_requests(api: Api, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    statuses = [api.get("/users/current").status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert api.get("/users/current").error == "too_many_requests"


def test_addresses_without_a_key_are_counted_too_and_told_how_long_to_wait(settings: Settings) -> None:
    settings.API_ANONYMOUS_REQUESTS_PER_MINUTE = 1
    address = f"2001:db8::{secrets.token_hex(2)}:{secrets.token_hex(2)}"
    answers = [Client().get("/api/v0/gpu_types/", REMOTE_ADDR=address) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert 1 <= int(answers[1].headers["Retry-After"]) <= 60


def test_the_schema_describes_every_address_once(anyone: Api) -> None:
    schema = Client().get("/api/schema/?format=json")
    paths = json.loads(schema.content)["paths"]
    described = {p.rstrip("/") for p in paths}
    assert len(described) == len(paths)
    routes = {str(p.pattern).rstrip("/") for p in urlpatterns if isinstance(p, URLPattern)}
    assert len(described) == len({route for route in routes if route.startswith(("v0/", "v1/"))})
    assert Client().get("/api/docs/").status_code == 200
    assert anyone.post("/bundles/").status == 200


SENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELD_NAMES = """
    image env disk label onstart runtype args args_str price state ids instance_ids ssh_key name machine price_gpu
    duration end_date min_chunk q select_cols order limit num_gpus
"""
FIELDS = st.sampled_from(FIELD_NAMES.split())
ADDRESSES = st.sampled_from(
    [
        *NEEDS_A_KEY,
        ("POST", "/bundles/"),
        ("PUT", "/search/asks/"),
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(address=ADDRESSES, body=SENT | st.dictionaries(FIELDS | st.text(), SENT, max_size=4))
def test_no_body_breaks_any_address(api: Api, address: tuple[str, str], body: object) -> None:
    answer = api.send(*address, body)
    assert answer.status < 500
    if answer.status >= 400:
        assert answer.error


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.dictionaries(
        st.sampled_from(["select_filters", "order_by", "select_cols", "limit", "after_token"]), SENT, max_size=3
    )
)
def test_no_query_argument_breaks_the_list(api: Api, query: dict[str, object]) -> None:
    answer = api.get("/api/v1/instances/", **query)
    assert answer.status in (200, 400)
