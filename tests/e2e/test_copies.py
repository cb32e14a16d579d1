"""Files on their way from one machine's instance to another's, with the real rsync and ssh, through the relay."""

from pathlib import Path

import psycopg2
import pytest

from tests.e2e.test_vastai_client import VastAi
from tests.plumbing.rental import Account, HostMachine, SshKeyPair, account, host_machine
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

DATA = "/root/my data"
SIZE_MB = 400


@pytest.fixture(scope="module")
def machines(stack: Stack) -> list[HostMachine]:
    return [host_machine(stack, name, simulate="1x RTX 3090") for name in ("copy-from", "copy-to")]


@pytest.fixture(scope="module")
def client(stack: Stack) -> Account:
    return account(stack, dollars=100)


def newest_copy(stack: Stack) -> tuple[str, float, str]:
    """State, share and words of the copy that was begun last."""
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.state, coalesce(j.progress, 0), c.reason || ' ' || c.message || ' ' || j.message "
            "FROM marketplace_copy c JOIN hosting_job j ON j.id = c.job_id ORDER BY c.id DESC LIMIT 1"
        )
        state, share, words = cursor.fetchone() or ("", 0, "")
        return state, share, words


def await_end(stack: Stack) -> tuple[str, str]:
    """State and words of the newest copy, once it is over."""
    stack.wait_for(lambda: newest_copy(stack)[0] != "open", "the copy to end")
    state, _, words = newest_copy(stack)
    return state, words


def test_a_copy_outlives_the_relay_and_closes_the_source_behind_it(
    stack: Stack, machines: list[HostMachine], client: Account, demo_image: str, vastai: Path, tmp_path: Path
) -> None:
    key = SshKeyPair.make(tmp_path)
    client.call("POST", "/ssh/", {"ssh_key": key.public_line})
    source, target = (client.rent(one.machine_id, image=demo_image) for one in machines)
    rows = [client.wait_until(one, "running") for one in (source, target)]
    there, here = ((row["ssh_host"], int(row["ssh_port"])) for row in rows)
    made = key.ssh(
        *there,
        f"mkdir -p '{DATA}/sub' && echo hi >'{DATA}/sub/x' && cd '{DATA}' && ln x1 x2 2>/dev/null; "
        f"head -c {SIZE_MB}M /dev/urandom >big && sha256sum big",
    )
    assert made.returncode == 0, made
    vast = VastAi(vastai, client, tmp_path)

    assert "initiated" in vast("copy", f"{source}:{DATA}/", f"C.{target}:/srv/new/")
    stack.wait_for(lambda: newest_copy(stack)[1] > 0.02 or newest_copy(stack)[0] != "open", "the copy to get going")
    relay = stack.processes["relay"].popen
    assert relay is not None
    relay.kill()
    relay.wait()
    assert newest_copy(stack)[0] == "open"
    stack.restart("relay")
    assert await_end(stack)[0] == "done", newest_copy(stack)
    copied = key.ssh(*here, "cd /srv/new && sha256sum big && cat sub/x")
    assert copied.stdout.split() == [*made.stdout.split(), "hi"]
    stack.wait_for(lambda: "restrict," not in keys_of(key, there), "the source to be closed again")

    assert "initiated" in vast("copy", f"{source}:/nope", f"{target}:/srv/")
    assert await_end(stack) == ("failed", newest_copy(stack)[2])
    assert "nothing at this path" in newest_copy(stack)[2]

    for one in (source, target):
        client.call("DELETE", f"/instances/{one}/", {})


def keys_of(key: SshKeyPair, address: tuple[str, int]) -> str:
    return key.ssh(*address, "cat /.spotyard/authorized_keys").stdout
