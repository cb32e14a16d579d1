"""Templates over HTTP, as the command-line client sends them, and renting with one."""

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.domain.docker_options import env_object, options_text
from marketplace.domain.query_text import conditions_of_query, query_of_text
from marketplace.domain.templates import MOST_VERSIONS, TemplateContent, content_of
from marketplace.models import Instance, Template, TemplateVersion, User
from marketplace.services.templates import starter_set, template_moderate
from marketplace.starter_templates import STARTERS, demo_template
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

SENT_BY_THE_CLIENT: dict[str, Any] = {
    "name": "tgi",
    "image": "ghcr.io/example/tgi",
    "tag": "1.0.3",
    "href": None,
    "repo": None,
    "env": "-p 3000:3000 -e MODEL_ARGS='--model x --quantize gptq' -e B=2",
    "onstart": "wget -O - https://example.com/x | bash",
    "jup_direct": False,
    "ssh_direct": True,
    "use_jupyter_lab": False,
    "runtype": "ssh",
    "use_ssh": True,
    "jupyter_dir": None,
    "docker_login_repo": None,
    "extra_filters": {"verified": {"eq": True}, "gpu_ram": {"gte": 23000.0}},
    "recommended_disk_space": "32.5",
    "readme": "# hello",
    "readme_visible": True,
    "desc": "Serves text",
    "private": True,
}


def create(api: Api, **values: Any) -> dict[str, Any]:
    answer = api.post("/template/", SENT_BY_THE_CLIENT | values)
    assert answer.status == 200, answer
    assert answer.json["success"]
    row: dict[str, Any] = answer.json["template"]
    return row


def rows(api: Api, **filters: Any) -> list[dict[str, Any]]:
    answer = api.get("/template/", select_cols=["*"], select_filters=filters)
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json["templates"]
    return found


def test_what_the_client_sends_is_kept(api: Api, client_user: User) -> None:
    row = create(api)
    assert (row["image"], row["tag"], row["runtype"], row["ssh_direct"]) == (
        "ghcr.io/example/tgi",
        "1.0.3",
        "ssh",
        True,
    )
    assert row["env"] == "-e B=2 -e 'MODEL_ARGS=--model x --quantize gptq' -p 3000:3000/tcp"
    assert (row["recommended_disk_space"], row["private"], row["creator_id"]) == (33.0, True, client_user.pk)
    assert row["extra_filters"] == SENT_BY_THE_CLIENT["extra_filters"]
    assert rows(api) == [row]
    assert create(api) == row, "a retry makes no second"


def test_another_content_is_another_hash_and_the_old_one_can_still_be_rented(api: Api, agent: TestAgent) -> None:
    row = create(api)
    changed = api.put(
        "/api/v1/template/", SENT_BY_THE_CLIENT | {"id": row["id"], "hash_id": row["hash_id"], "tag": "2.0"}
    )
    again = api.put(
        "/api/v1/template/", SENT_BY_THE_CLIENT | {"id": row["id"], "hash_id": row["hash_id"], "tag": "2.0"}
    )
    assert changed.json["template"] == again.json["template"]
    now = changed.json["template"]
    assert (now["id"], now["tag"]) == (row["id"], "2.0")
    assert now["hash_id"] != row["hash_id"]
    late = api.put("/api/v1/template/", SENT_BY_THE_CLIENT | {"id": row["id"], "hash_id": row["hash_id"], "tag": "3.0"})
    assert (late.status, late.error) == (409, "template_changed")
    for number, (hash_id, tag) in enumerate(((row["hash_id"], "1.0.3"), (now["hash_id"], "2.0"))):
        offer = market.offer(agent, 1)
        rented = api.put(f"/asks/{offer.pk}/", {"template_hash_id": hash_id, "label": str(number)})
        instance = Instance.objects.get(pk=rented.json["new_contract"])
        assert instance.image == f"ghcr.io/example/tgi:{tag}"
        assert instance.template_hash == hash_id


def test_a_rental_takes_all_of_the_template_and_the_body_goes_before(api: Api, agent: TestAgent) -> None:
    row = create(api)
    offer = market.offer(agent, 1)
    body = {"template_hash_id": row["hash_id"], "image": None, "env": {"B": "3", "-p 22000:80": "1"}, "disk": 10}
    rented = api.put(f"/asks/{offer.pk}/", body)
    assert rented.status == 200, rented
    assert api.put(f"/asks/{offer.pk}/", body).json["new_contract"] == rented.json["new_contract"]
    shown = api.get(f"/instances/{rented.json['new_contract']}/").json["instances"]
    assert (shown["template_id"], shown["template_hash_id"], shown["template_name"]) == (
        row["id"],
        row["hash_id"],
        "tgi",
    )
    assert (shown["image_uuid"], shown["disk_space"]) == ("ghcr.io/example/tgi:1.0.3", 33)
    assert shown["image_runtype"] == "ssh_direc ssh_proxy"
    assert dict(shown["extra_env"]) == {
        "MODEL_ARGS": "--model x --quantize gptq",
        "B": "3",
        "-p 80:80/tcp": "1",
        "-p 3000:3000/tcp": "1",
    }
    assert shown["onstart"] == SENT_BY_THE_CLIENT["onstart"]
    offer = market.offer(agent, 1)
    bare = {"template_id": row["id"], "image": "ubuntu:22.04", "disk": 64, "onstart": "true"}
    other = api.put(f"/asks/{offer.pk}/", bare).json["new_contract"]
    instance = Instance.objects.get(pk=other)
    assert (instance.image, instance.disk_gb, instance.onstart) == ("ubuntu:22.04", 64, "true")


def test_a_command_with_arguments(api: Api, agent: TestAgent) -> None:
    row = create(api, runtype="args", use_ssh=False, ssh_direct=False, onstart="bash", args_str="-c 'echo hi'")
    assert (row["entrypoint"], row["args"], row["onstart"]) == ("bash", ["-c", "echo hi"], None)
    rented = api.put(f"/asks/{market.offer(agent, 1).pk}/", {"template_hash_id": row["hash_id"]})
    instance = Instance.objects.get(pk=rented.json["new_contract"])
    assert (instance.mode, instance.args, instance.entrypoint) == ("args", ["-c", "echo hi"], "bash")


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"name": None}, "name", "Give the template a name"),
        ({"image": "NOT/An Image"}, "image", "is not an image name"),
        ({"runtype": "vm"}, "runtype", "is not a runtype"),
        ({"env": "-v a:/b"}, "env", "volume"),
        ({"env": "-e 'x"}, "env", "can't be split"),
        ({"env": "words"}, "env", "stands alone"),
        ({"env": "-e"}, "env", "needs a value"),
        ({"extra_filters": {"gpu_nmae": {"eq": 1}}}, "extra_filters", "Did you mean gpu_name"),
        ({"recommended_disk_space": "much"}, "recommended_disk_space", "is not a number"),
        ({"recommended_disk_space": "3"}, "disk_gb", "at least 8 GB"),
        ({"readme": "x" * 40_000}, "readme", "is the most"),
        ({"href": "javascript:alert(1)"}, "href", "https://"),
        ({"docker_login_repo": "-u"}, "docker_login_repo", "is not a registry"),
        ({"docker_login_repo": "docker.io"}, "docker_login_repo", "The image is on ghcr.io"),
        ({"colour": "red"}, "colour", "There is no field"),
    ],
)
def test_rubbish_is_refused_by_name(api: Api, values: dict[str, Any], field: str, sentence: str) -> None:
    answer = api.post("/template/", SENT_BY_THE_CLIENT | values)
    assert answer.error == "invalid_args"
    assert answer.json["field"] == field
    assert sentence in answer.json["msg"]
    assert not Template.objects.exists()


def test_private_ones_are_the_owners_alone(api: Api, stranger: Api, anyone: Api, agent: TestAgent) -> None:
    private = create(api, name="private")
    public = create(api, name="public", private=False, readme_visible=False)
    assert [row["name"] for row in rows(api)] == ["private", "public"]
    for reader in (stranger, anyone):
        (row,) = rows(reader)
        assert (row["name"], row["readme"]) == ("public", None)
        assert "client@example.com" not in str(row)
    assert anyone.post("/template/", SENT_BY_THE_CLIENT).status == 401
    offer = market.offer(agent, 1)
    refused = stranger.put(f"/asks/{offer.pk}/", {"template_hash_id": private["hash_id"]})
    assert (refused.status, refused.error) == (404, "no_such_template")
    body = SENT_BY_THE_CLIENT | {"id": private["id"], "hash_id": private["hash_id"], "tag": "9"}
    assert stranger.put("/api/v1/template/", body).status == 404
    assert stranger.put("/api/v1/template/", body | {"id": public["id"]}).error == "not_yours"
    assert stranger.delete("/template/", {"template_id": private["id"]}).status == 404
    assert stranger.delete("/template/", {"hash_id": public["hash_id"]}).status == 403
    assert stranger.put(f"/asks/{offer.pk}/", {"template_hash_id": public["hash_id"]}).status == 200
    assert [row["count_created"] for row in rows(api, name={"eq": "public"})] == [1]


def test_a_deleted_one_is_gone_and_its_instances_stay(api: Api, agent: TestAgent) -> None:
    row = create(api)
    rented = api.put(f"/asks/{market.offer(agent, 1).pk}/", {"template_hash_id": row["hash_id"]}).json["new_contract"]
    assert "deleted" in api.delete("/template/", {"hash_id": row["hash_id"]}).json["msg"]
    assert api.delete("/template/", {"hash_id": row["hash_id"]}).status == 404
    assert rows(api) == []
    refused = api.put(f"/asks/{market.offer(agent, 1).pk}/", {"template_hash_id": row["hash_id"]})
    assert refused.error == "no_such_template"
    assert api.get(f"/instances/{rented}/").json["instances"]["template_name"] == "tgi"


def test_what_staff_hide_only_its_owner_sees(api: Api, stranger: Api) -> None:
    row = create(api, private=False)
    template_moderate(template_id=row["id"], hidden=True, now=T0)
    assert rows(stranger) == []
    assert len(rows(api)) == 1
    template_moderate(template_id=row["id"], hidden=False, featured=True, now=T0)
    assert [one["recommended"] for one in rows(stranger)] == [True]


def test_filters_and_columns(api: Api) -> None:
    create(api, name="a", recommended_disk_space="10")
    row = create(api, name="b", recommended_disk_space="50")
    assert [one["name"] for one in rows(api, recommended_disk_space={"gt": "20"})] == ["b"]
    assert [one["name"] for one in rows(api, hash_id={"eq": row["hash_id"]})] == ["b"]
    assert api.get("/template/", select_cols=["id"], select_filters={"name": {"eq": "b"}}).json["templates"] == [
        {"id": row["id"]}
    ]
    assert api.get("/template/", select_filters={"nmae": {"eq": "b"}}).error == "invalid_query"


def test_a_template_of_runtype_jupyter_is_rented(api: Api, agent: TestAgent) -> None:
    row = create(api, runtype="jupyter", jup_direct=True, jupyter_dir="/work")
    assert (row["runtype"], row["jup_direct"], row["jupyter_dir"]) == ("jupyter", True, "/work")
    rented = api.put(f"/asks/{market.offer(agent, 1).pk}/", {"template_hash_id": row["hash_id"]})
    instance = Instance.objects.get(pk=rented.json["new_contract"])
    assert (instance.mode, instance.runtype) == ("jupyter", "jupyter_direc ssh_direc ssh_proxy")
    assert (instance.use_jupyter_lab, instance.jupyter_dir) == (False, "/work")


def test_another_launch_mode_than_the_templates_is_rented(api: Api, agent: TestAgent) -> None:
    row = create(api, runtype="jupyter", use_jupyter_lab=True, jupyter_dir="/work")
    wish = {"template_hash_id": row["hash_id"], "runtype": "ssh_proxy"}
    rented = api.put(f"/asks/{market.offer(agent, 1).pk}/", wish)
    assert Instance.objects.get(pk=rented.json["new_contract"]).mode == "ssh"


@pytest.mark.parametrize(
    "value", [{"template_id": "x"}, {"template_id": 2**60}, {"template_hash_id": 5}, {"template_id": -1}]
)
def test_nonsense_for_a_template(api: Api, agent: TestAgent, value: dict[str, Any]) -> None:
    assert api.put(f"/asks/{market.offer(agent, 1).pk}/", value).error in ("no_such_template", "invalid_args")


def test_old_versions_are_bounded(api: Api) -> None:
    row = create(api)
    for number in range(MOST_VERSIONS + 3):
        api.put("/api/v1/template/", SENT_BY_THE_CLIENT | {"id": row["id"], "tag": f"t{number}"})
    assert TemplateVersion.objects.count() == MOST_VERSIONS


def test_the_starter_set_makes_sense_and_is_made_once(anyone: Api) -> None:
    starters = STARTERS | {"demo": demo_template("spotyard/demo:2")}
    for _ in range(2):
        starter_set(starters=starters, now=T0)
    found = rows(anyone)
    assert sorted(row["name"] for row in found) == sorted(content.name for content in starters.values())
    assert {row["author"] for row in found} == {"Spotyard"}
    ubuntu = Template.objects.get(starter_key="ubuntu-22.04")
    template_moderate(template_id=ubuntu.pk, hidden=True, now=T0)
    changed = starters | {"ubuntu-22.04": demo_template("ubuntu:24.04")}
    starter_set(starters=changed, now=T0)
    ubuntu.refresh_from_db()
    assert (ubuntu.content.tag, ubuntu.hidden) == ("24.04", True)


def test_a_content_survives_being_stored() -> None:
    for content in STARTERS.values():
        assert content_of(content.document()) == content
        assert content_of(content.document()).hash_id == content.hash_id
    one = TemplateContent(name="a", image="b")
    assert len({TemplateContent(**(asdict(one) | {"ports": ((p, "tcp"),)})).hash_id for p in range(1, 9)}) == 8


@given(
    st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text(max_size=20)),
    st.lists(st.tuples(st.integers(1, 65535), st.sampled_from(["tcp", "udp"])), max_size=4, unique=True),
)
def test_docker_options_are_read_as_they_were_written(env: dict[str, str], ports: list[tuple[int, str]]) -> None:
    expected = env | {f"-p {port}:{port}/{protocol}": "1" for port, protocol in ports}
    assert env_object(options_text(env, ports)) == expected


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,12}", fullmatch=True),
        st.dictionaries(
            st.sampled_from(["eq", "neq", "gt", "gte", "lt", "lte"]),
            st.from_regex(r"[A-Za-z0-9.:_ -]{1,20}", fullmatch=True).map(str.strip).filter(bool),
            min_size=1,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_conditions_are_read_as_they_were_written(query: dict[str, dict[str, str]]) -> None:
    assert query_of_text("\n".join(conditions_of_query(query))) == query
