"""Copies over the public API, in the words of the command-line client."""

import pytest

from marketplace.models import Copy, Instance, User
from marketplace.services.rent import instance_rent
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent


@pytest.fixture
def pair(agent: TestAgent, client_user: User) -> tuple[Instance, Instance]:
    """Two instances that run."""
    made = [
        instance_rent(client=client_user, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
        for _ in range(2)
    ]
    agent.obey(T0)
    return made[0], made[1]


def body(source: object, target: object, **values: object) -> dict[str, object]:
    return {"client_id": "me", "src_id": source, "dst_id": target, "src_path": "/a", "dst_path": "/b"} | values


def test_copies_begin_and_are_canceled(api: Api, pair: tuple[Instance, Instance]) -> None:
    source, target = pair
    begun = api.put("/commands/copy_direct/", body(f"C.{source.pk}", str(target.pk)))
    assert (begun.status, begun.json["success"]) == (200, True)
    copy = Copy.objects.get(pk=begun.json["copy_id"])
    assert (copy.source_id, copy.target_id, copy.source_path, copy.target_path) == (source.pk, target.pk, "/a", "/b")
    ended = api.delete("/commands/copy_direct/", {"client_id": "me", "dst_id": str(target.pk)})
    assert (ended.json["success"], ended.json["canceled"]) == (True, 1)


def test_for_files_of_the_callers_own_the_command_is_told(api: Api, pair: tuple[Instance, Instance]) -> None:
    port = Instance.objects.get(pk=pair[0].pk).ssh_port
    sent = api.put("/commands/copy_direct/", body("local", pair[0].pk, src_path="my data"))
    assert (sent.status, sent.json["success"]) == (200, False)
    assert sent.json["msg"].endswith(f"rsync -avP -e 'ssh -p {port}' 'my data' root@192.0.2.7:/b")
    fetched = api.put("/commands/rsync/", body(f"C.{pair[0].pk}", None, dst_path="."))
    assert fetched.json["msg"].endswith(f"rsync -avP -e 'ssh -p {port}' root@192.0.2.7:/a .")
    assert not Copy.objects.exists()


def test_refusals_name_what_is_wrong(api: Api, stranger: Api, pair: tuple[Instance, Instance]) -> None:
    source, target = pair
    for wrong, status in [
        (body("V.12", target.pk), 400),
        (body("s3.101", target.pk), 400),
        (body("local", None), 400),
        (body(source.pk, target.pk, dst_path="here"), 400),
        (body(source.pk, target.pk, extra=1), 400),
        (body(source.pk, 10**12), 404),
        (body([], {}), 400),
    ]:
        refused = api.put("/commands/copy_direct/", wrong)
        assert refused.status == status, wrong
        assert refused.error
    assert stranger.put("/commands/copy_direct/", body(source.pk, target.pk)).status == 404
    assert stranger.delete("/commands/copy_direct/", {"dst_id": target.pk}).status == 404
