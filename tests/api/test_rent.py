"""Renting over HTTP: the body that the client sends, what becomes of it, and what is refused."""

from typing import Any

import pytest

from marketplace.api.rent_body import rent_request
from marketplace.domain.rent import MAX_RUNTYPE_CHARS, RentRequest, problems
from marketplace.errors import MarketError
from marketplace.models import Instance, User
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import TestAgent

SENT_BY_THE_CLIENT: dict[str, Any] = {
    "client_id": "me",
    "image": "pytorch/pytorch",
    "env": {"TZ": "UTC", "-p 8081:8081/udp": "1", "-p 8080:80": "1"},
    "price": None,
    "disk": 12.5,
    "label": "training",
    "extra": None,
    "onstart": "touch /root/x",
    "image_login": None,
    "python_utf8": False,
    "lang_utf8": False,
    "use_jupyter_lab": False,
    "jupyter_dir": None,
    "force": False,
    "cancel_unavail": False,
    "template_hash_id": None,
    "user": None,
    "runtype": "ssh_direc ssh_proxy",
}


def test_the_body_the_client_sends() -> None:
    assert rent_request(SENT_BY_THE_CLIENT) == RentRequest(
        image="pytorch/pytorch",
        disk_gb=13,
        mode="ssh",
        runtype="ssh_direc ssh_proxy",
        env={"TZ": "UTC"},
        ports=((8081, "udp"), (80, "tcp")),
        onstart="touch /root/x",
        label="training",
    )


@pytest.mark.parametrize(
    ("body", "mode", "runtype", "args", "entrypoint", "onstart"),
    [
        ({}, "ssh", "ssh", (), "", ""),
        ({"runtype": "ssh"}, "ssh", "ssh", (), "", ""),
        ({"runtype": "ssh_proxy", "onstart": "x"}, "ssh", "ssh_proxy", (), "", "x"),
        ({"runtype": "ssh_direct"}, "ssh", "ssh_direct", (), "", ""),
        ({"runtype": "args", "args": ["-c", "ls"]}, "args", "args", ("-c", "ls"), "", ""),
        ({"runtype": "args", "onstart": "bash", "args": ["-c"]}, "args", "args", ("-c",), "bash", ""),
        ({"runtype": "args"}, "args", "args", (), "", ""),
        ({"args": ["true"]}, "args", "args", ("true",), "", ""),
        ({"args_str": "python -c 'a b'"}, "args", "args", ("python", "-c", "a b"), "", ""),
        ({"args": [], "entrypoint": "sh", "runtype": "args"}, "args", "args", (), "sh", ""),
        ({"runtype": "jupyter", "onstart": "x"}, "jupyter", "jupyter", (), "", "x"),
        ({"runtype": "jupyter_proxy ssh_proxy"}, "jupyter", "jupyter_proxy ssh_proxy", (), "", ""),
        (
            {"runtype": "jupyter_direc ssh_direc ssh_proxy"},
            "jupyter",
            "jupyter_direc ssh_direc ssh_proxy",
            (),
            "",
            "",
        ),
        ({"runtype": "jupyter_direct ssh_direct"}, "jupyter", "jupyter_direct ssh_direct", (), "", ""),
    ],
)
def test_launch_modes(
    body: dict[str, Any], mode: str, runtype: str, args: tuple[str, ...], entrypoint: str, onstart: str
) -> None:
    request = rent_request({"image": "x"} | body)
    assert (request.mode, request.runtype, request.args) == (mode, runtype, args)
    assert (request.entrypoint, request.onstart) == (entrypoint, onstart)


def test_what_jupyter_is_to_be() -> None:
    asked = {"image": "x", "runtype": "jupyter_proxy ssh_proxy"}
    request = rent_request(asked | {"use_jupyter_lab": True, "jupyter_dir": " /workspace "})
    assert (request.use_jupyter_lab, request.jupyter_dir) == (True, "/workspace")
    request = rent_request(asked | {"use_jupyter_lab": False, "jupyter_dir": None})
    assert (request.use_jupyter_lab, request.jupyter_dir) == (False, "")


def test_a_runtype_is_kept_as_its_words_each_once() -> None:
    assert rent_request({"image": "x", "runtype": "ssh " * 30}).runtype == "ssh"
    assert rent_request({"image": "x", "runtype": " ssh_proxy \t ssh_direc ssh_proxy"}).runtype == "ssh_proxy ssh_direc"
    assert rent_request({"image": "x", "runtype": "args\nargs"}).runtype == "args"


def test_locale_flags_become_environment_that_the_client_may_override() -> None:
    request = rent_request({"image": "x", "lang_utf8": True, "python_utf8": True, "env": {"LANG": "sv_SE.UTF-8"}})
    assert request.env == {"LANG": "sv_SE.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}


def test_numbers_in_the_environment_become_text() -> None:
    assert rent_request({"image": "x", "env": {"A": 1, "B": 0.5}}).env == {"A": "1", "B": "0.5"}


def test_a_runtype_fits_its_column() -> None:
    assert problems(RentRequest(image="x", disk_gb=10, runtype="x" * MAX_RUNTYPE_CHARS)) == {}
    assert "81 characters; 80 is the most" in problems(RentRequest(image="x", disk_gb=10, runtype="x" * 81))["runtype"]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"price": 1e12}, "invalid_args", "price"),
        ({"price": "cheap"}, "invalid_args", "price"),
        ({"price": True}, "invalid_args", "price"),
        ({"accept_waiting": 1}, "invalid_args", "accept_waiting"),
        ({"volume_info": {"mount_path": "/x"}}, "invalid_args", "volume_info"),
        ({"use_jupyter_lab": True}, "invalid_args", "use_jupyter_lab"),
        ({"runtype": "ssh", "jupyter_dir": "/work"}, "invalid_args", "jupyter_dir"),
        ({"runtype": "jupyter", "args": ["x"]}, "invalid_args", "args"),
        ({"runtype": "jupyter args"}, "invalid_args", "runtype"),
        ({"runtype": "windows"}, "invalid_args", "runtype"),
        ({"user": "bob"}, "invalid_args", "user"),
        ({"extra": "--privileged"}, "invalid_args", "extra"),
        ({"vm": True}, "invalid_args", "vm"),
        ({"target_state": "stopped"}, "invalid_args", "target_state"),
        ({"runtype": "ssh", "args": ["x"]}, "invalid_args", "args"),
        ({"args": "ls"}, "invalid_args", "args"),
        ({"args": ["a\0"]}, "invalid_args", "args"),
        ({"args_str": "'"}, "invalid_args", "args_str"),
        ({"env": ["A=1"]}, "invalid_args", "env"),
        ({"env": {"A": None}}, "invalid_args", "env"),
        ({"env": {"A": True}}, "invalid_args", "env"),
        ({"env": {"-p 1:2:3": "1"}}, "invalid_args", "env"),
        ({"env": {"-p 70000:70000": "1"}}, "invalid_args", "env"),
        ({"env": {"-h": "bob"}}, "invalid_args", "env"),
        ({"env": {"-v /a:/b": "1"}}, "invalid_args", "env"),
        ({"env": {"-n net": "1"}}, "invalid_args", "env"),
        ({"env": {"-": "1"}}, "invalid_args", "env"),
        ({"env": {"--gpus": "1"}}, "invalid_args", "env"),
        ({"disk": "big"}, "invalid_args", "disk"),
        ({"label": 5}, "invalid_args", "label"),
        ({"onstart": "\0"}, "invalid_args", "onstart"),
        ({"imgae": "ubuntu"}, "invalid_args", "imgae"),
    ],
)
def test_what_can_not_be_done_is_refused_by_name(body: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(MarketError) as refused:
        rent_request({"image": "x"} | body)
    assert (refused.value.code, refused.value.field, refused.value.status) == (code, field, 400)


def test_unknown_fields_that_say_nothing_pass() -> None:
    assert rent_request({"image": "x", "new_thing": None, "other": False}).image == "x"


def test_renting_tells_what_was_agreed(api: Api, agent: TestAgent, client_user: User) -> None:
    offer = market.offer(agent, 2)
    answer = api.put(f"/asks/{offer.pk}/", SENT_BY_THE_CLIENT)
    assert answer.status == 200
    instance = Instance.objects.get(pk=answer.json["new_contract"])
    assert (instance.client, instance.offer, instance.disk_gb) == (client_user, offer, 13)
    assert answer.json["success"] is True
    assert (answer.json["rental_type"], answer.json["state"]) == ("on_demand", "loading")
    assert answer.json["dph_total"] == (1_000_000 + instance.storage_micros_per_hour) / 1e6


def test_a_retried_request_rents_once(api: Api, agent: TestAgent) -> None:
    path = f"/asks/{market.offer(agent).pk}/"
    answers = [api.put(path, SENT_BY_THE_CLIENT) for _ in range(3)]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["new_contract"] for answer in answers}) == 1
    assert Instance.objects.count() == 1


def test_an_offer_is_not_rented_again_after_its_instance_was_destroyed(api: Api, agent: TestAgent) -> None:
    path = f"/asks/{market.offer(agent).pk}/"
    contract = api.put(path, SENT_BY_THE_CLIENT).json["new_contract"]
    assert api.delete(f"/instances/{contract}/").status == 200
    refused = api.put(path, SENT_BY_THE_CLIENT)
    assert (refused.status, refused.error) == (410, "no_such_ask")


def test_a_taken_offer_is_gone_and_an_unknown_one_not_found(api: Api, stranger: Api, agent: TestAgent) -> None:
    path = f"/asks/{market.offer(agent).pk}/"
    assert stranger.put(path, {"image": "ubuntu"}).status == 200
    refused = api.put(path, {"image": "ubuntu"})
    assert (refused.status, refused.error) == (410, "no_such_ask")
    refused = api.put("/asks/999999/", {"image": "ubuntu"})
    assert (refused.status, refused.error) == (404, "no_such_ask")
    assert Instance.objects.count() == 1


def test_refusals_leave_nothing_behind(api: Api, agent: TestAgent, host_api: Api) -> None:
    path = f"/asks/{market.offer(agent).pk}/"
    assert api.put(path, {"image": "Not An Image"}).json["field"] == "image"
    assert api.put(path, {"image": "ubuntu", "disk": 5}).json["field"] == "disk_gb"
    assert api.put(path, {"image": "ubuntu", "disk": 1e300}).error == "disk_too_large"
    assert api.put(path, {}).json["field"] == "image"
    poor = Api.of(market.user()).put(path, {"image": "ubuntu"})
    assert (poor.status, poor.error) == (402, "no_credit")
    own = host_api.put(path, {"image": "ubuntu"})
    assert (own.status, own.error) == (403, "own_machine")
    assert Instance.objects.count() == 0
