"""DLPerf for a precision or an image, on the search page and the help page."""

from typing import Any

import pytest
from django.test import Client

from dlperf.catalogue import learned_model
from marketplace.models import Offer
from tests.web.pages import HTMX, field_errors, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("agent")]


def scores(page: Any) -> list[float]:
    return [offer["dlperf"] for offer in page.context["offers"]]


@pytest.mark.parametrize(
    ("query", "column", "words"),
    [
        ("precision=fp16", "dlperf_fp16", "FP16, mixed precision"),
        ("precision=int8&adapt=on&image=jax", "dlperf_int8", "INT8"),
        ("image=jax", "dlperf", ""),
    ],
)
def test_the_page_shows_the_number_that_was_asked_for_and_says_so(
    client: Client, query: str, column: str, words: str
) -> None:
    page = client.get(f"/?sort=dlperf&{query}")
    stored = Offer.objects.order_by(f"-{column}").values_list(column, flat=True)
    assert scores(page) == list(stored)
    shown = text(page)
    assert f"DLPerf{f' for {words}' if words else ''}" in shown
    assert ("What that means" in shown) == bool(words)


def test_the_ticked_box_adapts_to_the_chosen_image(client: Client) -> None:
    offer = Offer.objects.get(num_gpus=1)
    assert scores(client.get("/?gpus=1&adapt=on")) == [0.5 * offer.dlperf_fp32 + 0.5 * offer.dlperf_fp16]
    page = client.get("/?gpus=1&adapt=on&image=llama.cpp", headers=HTMX)
    assert scores(page) == [0.25 * offer.dlperf_fp16 + 0.75 * offer.dlperf_int8]
    assert "DLPerf for llama.cpp, Ollama est." in text(page)
    html = client.get("/?adapt=on&image=llama.cpp&precision=").content.decode()
    assert 'name="adapt" checked' in html
    assert '<option value="llama.cpp" selected>' in html


def test_the_filter_by_dlperf_follows(client: Client) -> None:
    int8 = Offer.objects.get(num_gpus=2).dlperf_int8
    page = client.get(f"/?precision=int8&dlperf_min={int8}&sort=price")
    assert [offer["num_gpus"] for offer in page.context["offers"]] == [2, 4]


def test_estimates_are_marked_with_their_error(client: Client) -> None:
    assert "est." not in text(client.get("/?gpus=1"))
    Offer.objects.update(dlperf_is_estimate=True)
    page = client.get("/?gpus=1")
    assert "DLPerf est. ±3.2%" in text(page)
    assert "at most 9.0%" in page.content.decode()


def test_what_was_not_measured_on_the_machine_says_so(client: Client) -> None:
    assert "DLPerf of the model" in text(client.get("/?gpus=1"))
    Offer.objects.update(dlperf_source="measured")
    page = client.get("/?gpus=1")
    assert "of the model" not in text(page)
    assert "est." not in text(page)
    Offer.objects.update(dlperf_is_estimate=True)
    assert "From a run on this machine that left out a part" in client.get("/?gpus=1").content.decode()


@pytest.mark.parametrize("name", ["precision", "image"])
def test_choices_that_do_not_exist_are_named_beside_their_field(client: Client, name: str) -> None:
    page = client.get("/", {name: "fp61", "adapt": "on"})
    assert page.status_code == 422
    assert "not one of the available choices" in field_errors(page, name)


def test_the_help_page_states_formula_mixes_and_error(client: Client) -> None:
    shown = text(client.get("/help/"))
    assert "90% in single precision and 10% in mixed precision" in shown
    assert "50% FP32, 50% FP16" in shown
    assert "products at more than 1.25 times the data sheet's rate" in shown
    assert "at more than 1.6 times what is published or predicted, 2.5 times in mixed precision" in shown
    error = learned_model().errors["balanced"]
    assert f"typically {error.median * 100:.1f}% off, and {error.largest * 100:.1f}% at most" in shown
