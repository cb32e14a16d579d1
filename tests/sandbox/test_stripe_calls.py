"""The sandbox keeps to Stripe's rules for requests: keys, parameters, idempotency, lists, lost answers."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from billing.sandbox.serving import serving
from tests.plumbing.provider import Provider, client_of

Params = dict[str, Any]


def refusal(provider: Provider, path: str, form: dict[str, str]) -> tuple[int, str, str]:
    """Status, code and parameter of a refused POST, sent without the SDK."""
    headers = {"Authorization": "Bearer sk_test_sandbox"}
    answer = requests.post(f"{provider.url}{path}", form, headers=headers, timeout=20)
    error = answer.json()["error"]
    return answer.status_code, error.get("code", error["type"]), error.get("param", "")


@pytest.mark.parametrize(
    ("path", "form", "code", "param"),
    [
        ("/v1/customers", {"colour": "red"}, "parameter_unknown", "colour"),
        ("/v1/customers", {"email": "a", "email[b]": "c"}, "invalid_request_error", "email[b]"),
        ("/v1/customers", {"balance": "1.5"}, "parameter_invalid_integer", "balance"),
        ("/v1/customers", {"address[town]": "Oslo"}, "parameter_unknown", "address[town]"),
        ("/v1/customers", {"metadata": "text"}, "invalid_request_error", "metadata"),
        ("/v1/payment_intents", {"amount": "500"}, "parameter_missing", "currency"),
        (
            "/v1/payment_intents",
            {"amount": "500", "currency": "usd", "confirm": "yes"},
            "invalid_request_error",
            "confirm",
        ),
        (
            "/v1/payment_intents",
            {"amount": "500", "currency": "usd", "capture_method": "later"},
            "invalid_request_error",
            "capture_method",
        ),
        ("/v1/payment_intents", {"amount": "49", "currency": "usd"}, "amount_too_small", "amount"),
        ("/v1/payment_intents", {"amount": "500", "currency": "xyz"}, "invalid_request_error", "currency"),
        (
            "/v1/checkout/sessions",
            {
                "mode": "payment",
                "success_url": "http://a",
                "line_items[0][price_data][currency]": "usd",
                "line_items[0][price_data][unit_amount]": "x",
            },
            "parameter_invalid_integer",
            "line_items[0][price_data][unit_amount]",
        ),
        ("/v1/refunds", {"reason": "boredom"}, "invalid_request_error", "reason"),
    ],
)
def test_requests_that_do_not_fit_the_sdks_types_are_refused(
    provider: Provider, path: str, form: dict[str, str], code: str, param: str
) -> None:
    assert refusal(provider, path, form) == (400, code, param)
    assert provider.stripe.v1.events.list().data == []


def test_only_the_right_key_opens_it(provider: Provider) -> None:
    with pytest.raises(stripe.AuthenticationError):
        client_of(provider.url, "sk_test_other").v1.customers.create({"email": "a@example.com"})


def test_what_does_not_exist(provider: Provider) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        provider.stripe.v1.customers.retrieve("cus_none")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    assert requests.get(f"{provider.url}/v1/nothing", timeout=20).status_code == 404


def test_the_same_key_gets_the_same_answer(provider: Provider) -> None:
    create = provider.stripe.v1.customers.create
    first = create({"email": "a@example.com"}, {"idempotency_key": "k"})
    assert create({"email": "a@example.com"}, {"idempotency_key": "k"}).id == first.id
    assert create({"email": "a@example.com"}).id != first.id
    with pytest.raises(stripe.IdempotencyError):
        create({"email": "b@example.com"}, {"idempotency_key": "k"})


def test_a_request_that_was_refused_for_its_form_does_not_use_up_its_key(provider: Provider) -> None:
    options: Any = {"idempotency_key": "k"}
    with pytest.raises(stripe.InvalidRequestError):
        provider.stripe.v1.refunds.create({"payment_intent": "pi_none"}, options)
    assert provider.stripe.v1.customers.create({"email": "a@example.com"}, options).email == "a@example.com"


def test_a_second_request_with_a_key_in_use_conflicts(provider: Provider) -> None:
    provider.control("/faults", kind="hold", path="/v1/customers")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(provider.stripe.v1.customers.create, {"name": "A"}, {"idempotency_key": "k"})
        assert provider.sandbox.faults.holds_begun.acquire(timeout=20)
        with pytest.raises(stripe.StripeError) as refused:
            provider.stripe.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
        requests.delete(f"{provider.url}/_sandbox/faults", timeout=20)
        assert refused.value.http_status == 409
        assert provider.stripe.v1.customers.retrieve(first.result().id).name == "A"


@pytest.mark.parametrize(("kind", "created"), [("lose_answer", 1), ("refuse", 0)])
def test_connections_that_end_after_and_before_the_effect(provider: Provider, kind: str, created: int) -> None:
    provider.control("/faults", kind=kind, path="/v1/customers")
    with pytest.raises(stripe.APIConnectionError):
        provider.stripe.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    assert len(provider.stripe.v1.events.list().data) == created
    provider.stripe.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    assert len(provider.stripe.v1.events.list().data) == 1


def test_errors_of_the_provider(provider: Provider) -> None:
    provider.control("/faults", kind="error", path="/v1/events", method="GET", times=2)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            provider.stripe.v1.events.list()
    assert provider.stripe.v1.events.list().data == []


def test_lists_come_in_pages_newest_first(provider: Provider) -> None:
    for number in range(7):
        provider.stripe.v1.customers.create({"name": str(number)})
    names = [event.data.object["name"] for event in provider.stripe.v1.events.list({"limit": 3}).auto_paging_iter()]
    assert names == ["6", "5", "4", "3", "2", "1", "0"]
    newest = provider.stripe.v1.events.list({"limit": 2})
    assert newest.has_more
    before = provider.stripe.v1.events.list({"limit": 3, "ending_before": newest.data[1].id})
    assert [event.id for event in before.data] == [newest.data[0].id]
    created = newest.data[0].created
    assert provider.stripe.v1.events.list({"created": {"gt": created}}).data == []
    assert len(provider.stripe.v1.events.list({"created": {"lte": created}, "limit": 100}).data) == 7
    assert provider.stripe.v1.events.list({"types": ["charge.refunded"]}).data == []


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    state = tmp_path / "sandbox.sqlite"
    with serving(state) as (url, _):
        made = client_of(url).v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    with serving(state) as (url, _):
        assert client_of(url).v1.customers.create({"name": "A"}, {"idempotency_key": "k"}).id == made.id
        assert client_of(url).v1.customers.retrieve(made.id).name == "A"
