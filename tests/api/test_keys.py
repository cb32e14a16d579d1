"""SSH keys and API keys over HTTP."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hosting.models import Task
from marketplace.api.keys import EVERY_PERMISSION
from marketplace.models import ApiKey, SshKey
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import TestAgent


def public_key(comment: str = "me@home") -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return f"{key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {comment}"


def test_ssh_keys_come_and_go(api: Api) -> None:
    first, second = public_key(), public_key()
    made = api.post("/ssh/", {"ssh_key": f"{first}\n"})
    assert made.status == 200
    key = made.json["key"]
    assert (made.json["success"], key["public_key"], key["deleted_at"]) == (True, first, None)
    assert [row["id"] for row in api.get("/ssh/").json] == [key["id"]]
    changed = api.put(f"/ssh/{key['id']}/", {"id": key["id"], "ssh_key": second})
    assert changed.json["key"]["public_key"] == second
    assert [row["public_key"] for row in api.get("/ssh/").json] == [second]
    assert api.delete(f"/ssh/{changed.json['key']['id']}/").json["success"] is True
    assert api.get("/ssh/").json == []


@pytest.mark.parametrize("text", ["", "~/.ssh/id_ed25519.pub", "ssh-rsa AAAA", "x" * 10_000, None])
def test_what_is_no_key_is_refused_with_the_fix(api: Api, text: str | None) -> None:
    refused = api.post("/ssh/", {"ssh_key": text})
    assert (refused.status, refused.error, refused.json["field"]) == (400, "bad_ssh_key", "ssh_key")
    assert SshKey.objects.count() == 0


def test_other_peoples_keys_do_not_exist(api: Api, stranger: Api) -> None:
    pk = api.post("/ssh/", {"ssh_key": public_key()}).json["key"]["id"]
    assert stranger.get("/ssh/").json == []
    for refused in (stranger.put(f"/ssh/{pk}/", {"ssh_key": public_key()}), stranger.delete(f"/ssh/{pk}/")):
        assert (refused.status, refused.error) == (404, "no_such_ssh_key")
    own = api.get("/auth/apikeys/").json["apikeys"][0]["id"]
    for refused in (stranger.get(f"/auth/apikeys/{own}/"), stranger.delete(f"/auth/apikeys/{own}/")):
        assert (refused.status, refused.error) == (404, "no_such_api_key")
    assert SshKey.objects.count() == 1


def test_an_instance_has_keys_of_its_own(api: Api, stranger: Api, agent: TestAgent) -> None:
    put = api.put(f"/asks/{market.offer(agent, 1).pk}/", {"image": "ubuntu:22.04", "runtype": "ssh"})
    address = f"/instances/{put.json['new_contract']}/ssh/"
    assert api.get(address).json == {"success": True, "ssh_keys": []}
    made = api.post(address, {"ssh_key": f"{public_key()}\n"})
    assert (made.status, made.json["success"]) == (200, True)
    key = made.json["key"]
    assert [row["id"] for row in api.get(address).json["ssh_keys"]] == [key["id"]]
    assert Task.objects.get().authorized_keys == [key["public_key"]]
    assert api.get("/ssh/").json == [], "it is no key of the account's"
    refused = api.post(address, {"ssh_key": "~/.ssh/id_rsa.pub"})
    assert (refused.status, refused.error, refused.json["field"]) == (400, "bad_ssh_key", "ssh_key")
    for outsider in (stranger.get(address), stranger.post(address, {"ssh_key": public_key()})):
        assert (outsider.status, outsider.error) == (404, "no_such_instance")
    assert stranger.delete(f"{address}{key['id']}/").error == "no_such_instance"
    assert api.delete(f"{address}{key['id'] + 1}/").error == "no_such_ssh_key"
    assert api.delete(f"{address}{key['id']}/").json["success"] is True
    assert Task.objects.get().authorized_keys == []


def test_an_api_key_is_shown_once_and_works_until_revoked(api: Api) -> None:
    made = api.post("/auth/apikeys/", {"name": "ci"})
    assert made.status == 200
    other = Api(made.json["key"])
    assert other.get("/users/current").status == 200
    listed = {row["name"]: row for row in api.get("/auth/apikeys/").json["apikeys"]}
    assert set(listed) == {"test", "ci"}
    assert all(made.json["key"] not in str(row) for row in listed.values())
    shown = api.get(f"/auth/apikeys/{listed['ci']['id']}/").json
    assert (shown["name"], "key" in shown) == ("ci", False)
    assert api.delete(f"/auth/apikeys/{listed['ci']['id']}/").json["success"] is True
    assert other.get("/users/current").error == "invalid_api_key"


def test_keys_that_would_be_limited_are_refused(api: Api) -> None:
    refused = api.post("/auth/apikeys/", {"name": "ci", "permissions": {"api": {"instance_read": {}}}})
    assert (refused.error, refused.json["field"]) == ("invalid_args", "permissions")
    conditional = EVERY_PERMISSION["api"] | {"misc": {"eq": 1}}
    limited: list[object] = [{"api": conditional}, {"api": []}, {"api": {}}, {}, [], "all"]
    for permissions in limited:
        refused = api.post("/auth/apikeys/", {"name": "ci", "permissions": permissions})
        assert refused.json["field"] == "permissions", permissions
    assert api.post("/auth/apikeys/", {"name": "ci", "key_params": "x"}).json["field"] == "key_params"
    assert api.post("/auth/apikeys/", {"name": "x" * 81}).json["field"] == "name"
    assert ApiKey.objects.count() == 1
    assert api.post("/auth/apikeys/", {"name": "ci", "permissions": EVERY_PERMISSION}).status == 200
