"""Pages of templates, and what a template does to search and rent dialog."""

from html import escape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import QueryDict
from django.test import Client

from marketplace.domain.templates import TemplateContent
from marketplace.models import Instance, Template, User
from marketplace.services.templates import starter_set, template_create
from marketplace.starter_templates import STARTERS
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

FORM = {"name": "Mine", "image": "ubuntu", "tag": "22.04", "runtype": "ssh", "disk_gb": "20"}


def content(**values: object) -> TemplateContent:
    return TemplateContent(**({"name": "Trainer", "image": "pytorch/pytorch", "tag": "2.5"} | values))  # type: ignore[arg-type]  # mixed dict


def made(owner: User, *, private: bool = True, **values: object) -> Template:
    return template_create(owner=owner, content=content(**values), private=private, now=T0)


def form_data(**values: str) -> str:
    return urlencode(FORM | values)


def send(browser: Client, path: str, data: str) -> Any:
    return browser.post(path, data, content_type="application/x-www-form-urlencoded")


def test_a_template_is_made_seen_changed_and_deleted(web: Client, renter: User) -> None:
    data = QueryDict(mutable=True)
    data.update(FORM | {"onstart": "echo hi\r\n", "ports": "8080, 5000/udp", "extra_filters": "gpu_ram_GB >= 20"})
    data.setlist("env_name", ["A"])
    data.setlist("env_value", ["two words"])
    response = web.post("/templates/new/", data.urlencode(), content_type="application/x-www-form-urlencoded")
    template = Template.objects.get(owner=renter)
    assert (response.status_code, response.headers["Location"]) == (302, f"/templates/{template.pk}/")
    said = template.content
    assert (said.full_image, said.disk_gb, said.onstart) == ("ubuntu:22.04", 20, "echo hi\n")
    assert (said.env, said.ports) == ({"A": "two words"}, ((8080, "tcp"), (5000, "udp")))
    assert said.extra_filters == {"gpu_ram_GB": {"gte": "20"}}

    form = web.get(f"/templates/{template.pk}/edit/").content.decode()
    for shown in ("8080, 5000/udp", "two words", escape("gpu_ram_GB >= 20"), "echo hi"):
        assert shown in form
    page = text(web.get(f"/templates/{template.pk}/"))
    assert "ubuntu:22.04" in page
    assert template.hash_id in page
    before = template.hash_id
    send(web, f"/templates/{template.pk}/edit/", form_data(tag="24.04", hash_id=before))
    template.refresh_from_db()
    assert template.content.tag == "24.04"
    assert template.hash_id != before
    response = web.post(f"/templates/{template.pk}/publish/", {"private": "0"})
    template.refresh_from_db()
    assert not template.private
    assert "Delete “Mine”?" in text(web.get(f"/templates/{template.pk}/delete/", headers=HTMX))
    web.post(f"/templates/{template.pk}/delete/")
    assert web.get(f"/templates/{template.pk}/").status_code == 404


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", " ", "Give the template a name"),
        ("image", "NOT an image", "is not an image name"),
        ("disk_gb", "2", "at least 8 GB"),
        ("disk_gb", "x", "whole number"),
        ("extra_filters", "gpu_nmae = 1", "Did you mean gpu_name"),
        ("extra_filters", "all of them", "is no condition"),
        ("ports", "99999", "is not a port"),
        ("href", "javascript:alert(1)", "begins with https://"),
    ],
)
def test_rubbish_gets_its_sentence_beside_the_field(web: Client, field: str, value: str, sentence: str) -> None:
    response = send(web, "/templates/new/", form_data(**{field: value}))
    assert response.status_code == 422
    assert sentence in field_errors(response, field)
    assert not Template.objects.exists()


def test_others_see_public_ones_with_their_authors_name_only(other_web: Client, stranger: User, renter: User) -> None:
    renter.full_name = "Ada"
    renter.save()
    private, public = made(renter, name="Secret"), made(renter, private=False, name="Shared")
    for reader in (other_web, Client()):
        page = text(reader.get("/templates/"))
        assert "Shared" in page
        assert "by Ada" in page
        assert "Secret" not in page
        assert renter.email not in page
        assert reader.get(f"/templates/{private.pk}/").status_code == 404
        assert reader.get(f"/templates/{public.pk}/").status_code == 200
    assert other_web.get(f"/templates/{private.pk}/edit/").status_code == 404
    other_web.post(f"/templates/{public.pk}/delete/")
    other_web.post(f"/templates/{private.pk}/copy/")
    assert set(Template.objects.filter(deleted_at=None)) == {private, public}
    other_web.post(f"/templates/{public.pk}/copy/")
    copy = Template.objects.get(owner=stranger)
    assert (copy.name, copy.private) == ("Copy of Shared", True)


def test_a_readme_is_text(web: Client, renter: User) -> None:
    template = made(renter, readme="<script>alert(1)</script> [x](javascript:alert(1)) https://example.com/doc")
    html = web.get(f"/templates/{template.pk}/").content.decode()
    assert "&lt;script&gt;alert(1)" in html
    assert 'href="javascript' not in html
    assert '<a href="https://example.com/doc" rel="nofollow">' in html


def test_the_chooser_lists_own_starter_and_public(web: Client, renter: User, stranger: User) -> None:
    starter_set(starters=STARTERS, now=T0)
    made(renter, name="My own")
    made(stranger, private=False, name="Theirs")
    page = text(web.get("/templates/choose/?gpu=RTX+3090&disk=5", headers=HTMX))
    assert page.index("Yours") < page.index("My own") < page.index("Recommended") < page.index("PyTorch")
    assert page.index("PyTorch") < page.index("Theirs")
    html = web.get("/templates/choose/?gpu=RTX+3090&disk=5&limit=3", headers=HTMX).content.decode()
    assert 'href="/?gpu=RTX+3090&amp;template=' in html
    found = text(web.get("/templates/choose/?q=their", headers=HTMX | {"HX-Target": "template-choices"}))
    assert "Theirs" in found
    assert "PyTorch" not in found


@pytest.mark.usefixtures("agent")
def test_a_template_narrows_and_adapts_the_search_visibly(web: Client, renter: User) -> None:
    template = made(renter, extra_filters={"num_gpus": {"gte": 2}}, disk_gb=77)
    page = web.get(f"/?template={template.hash_id}&unavailable=on")
    shown = text(page)
    assert "Trainer" in shown
    assert "num_gpus >= 2" in shown
    assert "for PyTorch" in shown
    assert page.context["disk_gb"] == 77
    assert {offer["num_gpus"] for offer in page.context["offers"]} == {2, 4}
    everything = web.get(f"/?template={template.hash_id}&template_off=on")
    assert {offer["num_gpus"] for offer in everything.context["offers"]} == {1, 2, 4}
    assert f"template={template.hash_id}" in page.content.decode()


def test_a_template_that_is_gone_is_told(web: Client) -> None:
    page = web.get("/?template=abc")
    assert page.status_code == 422
    assert "gone or private" in text(page)
    assert "Remove" in text(page)


def test_the_rent_dialog_is_filled_in_and_the_instance_notes_the_template(
    web: Client, agent: TestAgent, renter: User
) -> None:
    template = made(
        renter, runtype="args", args=("python", "a b.py"), env={"A": "1"}, ports=((8080, "tcp"),), disk_gb=33
    )
    offer = market.offer(agent, 1)
    html = web.get(f"/offers/{offer.pk}/rent/?template={template.hash_id}&disk_gb=33", headers=HTMX).content.decode()
    for value in ("pytorch/pytorch:2.5", "python &#x27;a b.py&#x27;", 'value="33"', 'value="A"', 'value="8080"'):
        assert value in html
    assert "Filled in from the template" in html
    wish = {"rental_type": "on_demand", "image": "ubuntu:22.04", "disk_gb": "20", "mode": "ssh"}
    assert web.post(f"/offers/{offer.pk}/rent/", wish | {"template": template.hash_id}).status_code == 302
    instance = Instance.objects.get()
    assert (instance.template, instance.template_hash, instance.template_name) == (
        template,
        template.hash_id,
        "Trainer",
    )
    assert "Trainer" in text(web.get(f"/instances/{instance.pk}/"))
    assert "Used 1 time" in text(web.get("/templates/"))


def test_a_template_of_somebody_else_fills_nothing_in(web: Client, agent: TestAgent, stranger: User) -> None:
    template = made(stranger)
    offer = market.offer(agent, 1)
    page = web.get(f"/offers/{offer.pk}/rent/?template={template.hash_id}", headers=HTMX)
    assert "pytorch/pytorch:2.5" not in page.content.decode()
