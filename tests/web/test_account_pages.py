"""The account page."""

import subprocess
from collections.abc import Callable

import pytest
from django.test import Client

from marketplace.models import ApiKey, SshKey, User
from marketplace.selectors import user_by_api_key
from marketplace.services.keys import api_key_create, ssh_key_add
from tests.plumbing.market import T0
from tests.web.pages import field_errors, text

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def public_key(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("keys") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me@home", "-f", str(file)], check=True)
    return str(file.with_suffix(".pub").read_text())


def test_a_pasted_key_is_listed_with_type_comment_and_fingerprint(web: Client, renter: User, public_key: str) -> None:
    assert web.post("/account/ssh-keys/", {"ssh_key": public_key}).status_code == 302
    key = SshKey.objects.get(user=renter)
    shown = text(web.get("/account/"))
    assert f"me@home ssh-ed25519 {key.fingerprint}" in shown
    assert "opens your instances now" in shown


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda key: key[:50], "The key is cut off"),
        (lambda key: key.split(" ", 1)[1], "The beginning of the key is missing"),
        (lambda _: "", "The box is empty."),
        (lambda key: key + "\0", "Null characters are not allowed."),
        (lambda _: "~/.ssh/id_ed25519.pub", "This is the name of a key file"),
        (lambda _: "-----BEGIN OPENSSH PRIVATE KEY-----\nx", "This is a private key: never give it to anyone."),
    ],
)
def test_a_wrong_key_is_refused_with_the_reason_beside_the_box(
    web: Client, public_key: str, cut: Callable[[str], str], message: str
) -> None:
    response = web.post("/account/ssh-keys/", {"ssh_key": cut(public_key)})
    assert response.status_code == 422
    assert message in field_errors(response, "ssh_key")
    assert not SshKey.objects.exists()


def test_a_key_can_be_deleted_by_its_owner_only(web: Client, other_web: Client, renter: User, public_key: str) -> None:
    key = ssh_key_add(user=renter, text=public_key, now=T0)
    assert other_web.post(f"/account/ssh-keys/{key.pk}/delete/").status_code == 404
    assert SshKey.objects.filter(pk=key.pk).exists()
    assert web.post(f"/account/ssh-keys/{key.pk}/delete/").status_code == 302
    assert not SshKey.objects.exists()


def test_an_api_key_is_shown_once_and_works(web: Client, renter: User) -> None:
    response = web.post("/account/api-keys/", {"name": "laptop"})
    raw = response.context["new_api_key"]
    assert raw in text(response)
    assert user_by_api_key(raw) == renter
    again = text(web.get("/account/"))
    assert raw not in again
    assert "laptop" in again
    assert "never used" not in again


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "Give the key a name of 1 to 80 characters."),
        ("   ", "Give the key a name of 1 to 80 characters."),
        ("x" * 81, "Give the key a name of 1 to 80 characters."),
        ("a\0b", "Null characters are not allowed."),
    ],
)
def test_an_api_key_needs_a_name(web: Client, name: str, message: str) -> None:
    response = web.post("/account/api-keys/", {"name": name})
    assert response.status_code == 422
    assert message in field_errors(response, "name")
    assert not ApiKey.objects.exists()


def test_an_api_key_can_be_revoked_by_its_owner_only(web: Client, other_web: Client, renter: User) -> None:
    key, raw = api_key_create(user=renter, name="laptop", now=T0)
    assert other_web.post(f"/account/api-keys/{key.pk}/revoke/").status_code == 404
    assert user_by_api_key(raw) == renter
    assert web.post(f"/account/api-keys/{key.pk}/revoke/").status_code == 302
    assert user_by_api_key(raw) is None
    assert "laptop" not in text(web.get("/account/"))


def test_profile(web: Client) -> None:
    assert web.post("/account/profile/", {"full_name": "Ada <script>"}).status_code == 302
    page = web.get("/account/")
    assert "Ada &lt;script&gt;" in page.content.decode()
    too_long = web.post("/account/profile/", {"full_name": "x" * 151})
    assert too_long.status_code == 422
    assert "at most 150 characters" in field_errors(too_long, "full_name")
