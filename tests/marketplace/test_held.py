"""What the process that holds agents' requests answers, and that none of its middleware takes a thread."""

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient
from django.utils.module_loading import import_string
from pytest_django.fixtures import Settings

from marketplace.held import MIDDLEWARE


@pytest.mark.parametrize("name", MIDDLEWARE)
def test_all_of_its_middleware_waits_on_the_event_loop(name: str) -> None:
    assert import_string(name).async_capable


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/accounts/login/", 404),
        ("/admin/", 404),
        ("/api/v0/bundles/", 404),
        ("/healthz/", 200),
        ("/api/agent/v1/sync", 405),
    ],
)
def test_it_answers_agents_and_serves_no_pages(path: str, status: int, settings: Settings) -> None:
    settings.MIDDLEWARE = MIDDLEWARE
    assert async_to_sync(AsyncClient().get)(path).status_code == status


@pytest.mark.django_db(transaction=True)
def test_an_unknown_credential_is_refused_there_as_anywhere(settings: Settings) -> None:
    settings.MIDDLEWARE = MIDDLEWARE
    answer = async_to_sync(AsyncClient().post)(
        "/api/agent/v1/sync", "{}", content_type="application/json", headers={"Authorization": "Bearer x"}
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "credential_revoked")
