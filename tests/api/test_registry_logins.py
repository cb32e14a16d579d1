"""Logins to image registries: from a request or an account to the one agent that needs them, and nowhere else."""

import os
import subprocess
import sys
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.management import call_command
from django.test import Client
from pytest_django.fixtures import Settings

from hosting.domain.registries import Login
from hosting.models import Task, TaskEvent
from hosting.sealed_logins import opened
from marketplace.domain.registry_login import login_of_line
from marketplace.errors import MarketError
from marketplace.models import Instance, InstanceEvent, RegistryLogin, User
from marketplace.services.lifecycle import instance_destroy, instance_stop
from marketplace.services.registry_logins import registry_login_save
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

PASSWORD = 'n0-body\'s "business"'
LINE = "-u bob -p 'n0-body'\"'\"'s \"business\"' docker.io"


def rent(api: Api, agent: TestAgent, **body: Any) -> Instance:
    offer = market.offer(agent, 1)
    sent = {"image": "bob/app:1", "image_login": LINE} | body
    answers = [api.put(f"/asks/{offer.pk}/", sent) for _ in range(2)]
    assert answers[0].status == 200, answers[0]
    assert answers[0].json["new_contract"] == answers[1].json["new_contract"], "a retry"
    return Instance.objects.get(pk=answers[0].json["new_contract"])


def told(agent: TestAgent, instance: Instance) -> Any:
    """The login that the machine's agent is told for the instance's task."""
    return next(task for task in agent.report(T0).tasks if task.task_id == instance.task_id).registry_login


def test_only_the_agent_that_runs_it_is_told(api: Api, agent: TestAgent, client_user: User) -> None:
    other = market.listed_machine()
    instance = rent(api, agent)
    login = told(agent, instance)
    assert (login.registry, login.username, login.password) == ("docker.io", "bob", PASSWORD)
    assert PASSWORD not in repr(other.report(T0))
    instance_stop(instance_id=instance.pk, actor=client_user, now=T0)
    assert told(agent, instance) is None
    instance_destroy(instance_id=instance.pk, actor=client_user, now=T0)
    assert Task.objects.get(pk=instance.task_id).registry_login == ""


def test_it_is_nowhere_in_clear(api: Api, agent: TestAgent, client_user: User) -> None:
    instance = rent(api, agent)
    shown = [str(api.get(f"/instances/{instance.pk}/").json), str(api.get("/instances/").json)]
    tables = (Instance, Task, InstanceEvent, TaskEvent, RegistryLogin)
    shown += [serializers.serialize("json", rows._default_manager.all()) for rows in tables]
    client_user.is_staff = client_user.is_superuser = True
    client_user.save()
    browser = Client()
    browser.force_login(client_user)
    for path in (
        f"/admin/hosting/task/{instance.task_id}/change/",
        f"/admin/marketplace/instance/{instance.pk}/change/",
    ):
        page = browser.get(path)
        assert page.status_code == 200
        shown.append(text(page))
    shown.append(text(browser.get(f"/instances/{instance.pk}/")))
    for said in shown:
        assert "business" not in said
    assert Task.objects.get(pk=instance.task_id).registry_login not in shown[-2]


def test_a_request_with_another_password_is_another_request(api: Api, agent: TestAgent) -> None:
    first = rent(api, agent)
    changed = api.put(f"/asks/{first.offer_id}/", {"image": "bob/app:1", "image_login": "-u bob -p other docker.io"})
    assert changed.status == 410
    assert not any(word in first.request_fingerprint for word in ("bob", "business"))


def test_a_kept_login_is_used_by_its_registrys_name(api: Api, agent: TestAgent, client_user: User) -> None:
    login = Login(registry="ghcr.io", username="bob", password=PASSWORD)
    registry_login_save(user=client_user, login=login, now=T0)
    instance = rent(api, agent, image="ghcr.io/bob/app:1", image_login="ghcr.io")
    assert told(agent, instance).password == PASSWORD
    template = {"name": "mine", "image": "ghcr.io/bob/app", "use_ssh": True, "docker_login_repo": "ghcr.io"}
    made = api.post("/template/", template).json["template"]
    assert made["docker_login_repo"] == "ghcr.io"
    with_template = rent(api, agent, image=None, image_login=None, template_hash_id=made["hash_id"])
    assert told(agent, with_template).username == "bob"
    RegistryLogin.objects.all().delete()
    refused = api.put(f"/asks/{market.offer(agent, 1).pk}/", {"template_hash_id": made["hash_id"]})
    assert refused.error == "no_such_login"
    assert "You have stored no login to ghcr.io" in refused.json["msg"]


@pytest.mark.parametrize(
    ("line", "login"),
    [
        ("-u bob -p x docker.io", ("docker.io", "bob", "x")),
        ("docker.io -u bob -p x", ("docker.io", "bob", "x")),
        ("-ubob -px https://index.docker.io/v1/", ("docker.io", "bob", "x")),
        ("docker login --username=bob --password 'a b' GHCR.io", ("ghcr.io", "bob", "a b")),
        ("-u bob -p -x=- registry.example.com:5000", ("registry.example.com:5000", "bob", "-x=-")),
        ("-u bob -p x", ("docker.io", "bob", "x")),
    ],
)
def test_lines_as_people_write_them(line: str, login: tuple[str, str, str]) -> None:
    found = login_of_line(line)
    assert isinstance(found, Login)
    assert (found.registry, found.username, found.password) == login
    assert login[2] not in repr(found).replace("docker", "") or login[2] == "x"


@pytest.mark.parametrize("line", ["-u bob", "-p x", "-u bob -p", "a b", "-u 'bob", "-z 3", "-u '' -p x"])
def test_lines_that_make_no_sense_are_not_repeated(line: str) -> None:
    with pytest.raises(MarketError) as refused:
        login_of_line(line)
    assert line not in refused.value.message


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("-u a docker.io", "invalid_args"),
        (["-u"], "invalid_args"),
        ("ghcr.io", "no_such_login"),
        ("-u a -p s3cret ghcr.io", "invalid_args"),
    ],
)
def test_what_is_no_login_for_the_image_is_refused(api: Api, agent: TestAgent, line: Any, code: str) -> None:
    refused = api.put(f"/asks/{market.offer(agent, 1).pk}/", {"image": "bob/app:1", "image_login": line})
    assert (refused.error, refused.json["field"]) == (code, "image_login")
    assert "s3cret" not in refused.json["msg"]


def test_the_account_page_keeps_and_forgets_logins(client_user: User) -> None:
    browser = Client()
    browser.force_login(client_user)
    sent = {"registry": "https://index.docker.io/v1/", "username": "bob", "password": PASSWORD}
    assert browser.post("/account/registry-logins/", sent).status_code == 302
    (kept,) = RegistryLogin.objects.all()
    page = browser.get("/account/")
    assert "docker.io" in text(page)
    assert "as bob" in text(page)
    for shown in (page.content.decode(), kept.sealed, str(kept)):
        assert "business" not in shown
    assert opened(kept.sealed) == Login(registry="docker.io", username="bob", password=PASSWORD)
    for rubbish, words in (
        ({"password": ""}, "needs a user name and a password"),
        ({"registry": "a b"}, "is not a registry"),
    ):
        refused = browser.post("/account/registry-logins/", sent | rubbish)
        assert refused.status_code == 422
        assert words in field_errors(refused, "password")
        assert "business" not in refused.content.decode()
    stranger = Client()
    stranger.force_login(market.user())
    assert stranger.post(f"/account/registry-logins/{kept.pk}/delete/", headers=HTMX).status_code == 404
    browser.post(f"/account/registry-logins/{kept.pk}/delete/")
    assert not RegistryLogin.objects.exists()


def test_the_rent_dialog_takes_a_kept_login_or_another(agent: TestAgent, client_user: User) -> None:
    browser = Client()
    browser.force_login(client_user)
    registry_login_save(user=client_user, login=Login(registry="docker.io", username="bob", password="kept"), now=T0)
    wish = {"rental_type": "on_demand", "image": "bob/app:1", "disk_gb": "20", "mode": "ssh"}
    passwords = []
    for choice in (
        {"image_login": "docker.io"},
        {"image_login": "+", "login_username": "al", "login_password": PASSWORD},
    ):
        offer = market.offer(agent, 1)
        assert "Mine to docker.io" in text(browser.get(f"/offers/{offer.pk}/rent/", headers=HTMX))
        assert browser.post(f"/offers/{offer.pk}/rent/", wish | choice).status_code == 302
        passwords.append(told(agent, Instance.objects.latest("pk")).password)
    assert passwords == ["kept", PASSWORD]
    offer = market.offer(agent, 1)
    wrong = {"image": "ghcr.io/bob/app:1", "image_login": "docker.io", "login_password": PASSWORD}
    refused = browser.post(f"/offers/{offer.pk}/rent/", wish | wrong)
    assert "The login is for docker.io" in field_errors(refused, "image_login")
    assert "business" not in refused.content.decode()
    nobody = browser.post(f"/offers/{offer.pk}/rent/", wish | {"image_login": "+"})
    assert "needs a user name and a password" in field_errors(nobody, "image_login")


def test_keys_are_rotated(api: Api, agent: TestAgent, settings: Settings, client_user: User) -> None:
    instance = rent(api, agent)
    registry_login_save(user=client_user, login=Login(registry="a.io", username="b", password="c"), now=T0)
    old, new = settings.FIELD_ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    assert told(agent, instance).password == PASSWORD
    call_command("reseal_logins")
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert told(agent, instance).password == PASSWORD
    assert opened(RegistryLogin.objects.get().sealed) is not None
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert told(agent, instance) is None


@pytest.mark.parametrize("keys", [None, "short", "b25seS1mb3ItbWFrZS1jaGVjay1uZXZlci11c2VkLTA=,short"])
def test_production_does_not_start_without_keys(keys: str | None) -> None:
    given = {} if keys is None else {"FIELD_ENCRYPTION_KEYS": keys}
    kept = {name: value for name, value in os.environ.items() if name not in ("TESTING", "DEMO", "DEBUG")}
    env = kept | {"DJANGO_SETTINGS_MODULE": "marketplace.settings", "SECRET_KEY": "x"} | given
    ask = "import django; django.setup()"
    done = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "FIELD_ENCRYPTION_KEYS must be set" in done.stderr
    assert "b25s" not in done.stderr
