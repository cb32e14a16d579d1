"""The unmodified public command-line client, 1.9.1, against the whole product: people keep the tool they have."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import pytest
import requests

from scripts.services.launching import wait_until
from tests.plumbing.registry import Registry
from tests.plumbing.rental import Account, HostMachine, SshKeyPair, account, host_machine
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

WIDE = "250"
PROGRESS_ERASED = "\x1b[K"
EVERYTHING: dict[str, dict[str, str]] = {
    f"{area}_{access}": {} for area in ("instance", "user", "billing", "machine") for access in ("read", "write")
}
EVERYTHING["misc"] = {}


class VastAi:
    """The client with one account's key and a home of its own."""

    def __init__(self, program: Path, user: Account, home: Path) -> None:
        self._program = program
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "VAST_URL": user.stack.url,
            "VAST_API_KEY": user.api_key,
            "VASTAI_NO_UPDATE_CHECK": "1",
            "COLUMNS": WIDE,
            "LC_ALL": "C.UTF-8",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Both streams of a command; the client exits 0 on refusals too."""
        return subprocess.run(
            [str(self._program), *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def __call__(self, *arguments: str) -> str:
        """The output of a command that must go well. On stderr it may show its progress."""
        done = self.run(*arguments)
        assert done.returncode == 0, done
        assert done.stderr.strip() in ("", PROGRESS_ERASED), done
        return done.stdout

    def raw(self, *arguments: str) -> Any:
        """The JSON output of a command that must go well."""
        return json.loads(self(*arguments, "--raw"))


@pytest.fixture(scope="module")
def machine(stack: Stack) -> HostMachine:
    return host_machine(stack, "vastai")


@pytest.fixture(scope="module")
def client(stack: Stack) -> Account:
    return account(stack, dollars=100)


@pytest.fixture(scope="module")
def vast(vastai: Path, client: Account, tmp_path_factory: pytest.TempPathFactory) -> VastAi:
    return VastAi(vastai, client, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def key(vast: VastAi, tmp_path_factory: pytest.TempPathFactory) -> SshKeyPair:
    """A key pair that the client has given to the account."""
    pair = SshKeyPair.make(tmp_path_factory.mktemp("ssh"))
    created = vast("create", "ssh-key", pair.public_line)
    assert "'success': True" in created
    return pair


@pytest.fixture
def search(vast: VastAi, machine: HostMachine) -> Callable[..., list[dict[str, Any]]]:
    """Offers of the test's machine, which nobody has verified."""

    def found(query: str = "", *options: str) -> list[dict[str, Any]]:
        base = f"machine_id={machine.machine_id} verified=any"
        rows: list[dict[str, Any]] = vast.raw("search", "offers", f"{base} {query}".strip(), *options)
        return rows

    return found


def test_searching(vast: VastAi, machine: HostMachine, search: Callable[..., list[dict[str, Any]]]) -> None:
    assert [row["num_gpus"] for row in search("", "-o", "num_gpus-")] == [2, 1]
    assert [row["num_gpus"] for row in search("", "-o", "dph,num_gpus-")] == [1, 2]
    matching = "num_gpus=1 gpu_name=RTX_3090 gpu_ram>=24 cuda_vers>=11.8 reliability>0.5 disk_space>=10 duration>1"
    (row,) = search(matching, "--storage", "20", "--limit", "5")
    assert row["dph_total"] == pytest.approx(0.4 + 0.1 * 20 / 720)
    assert len(search("driver_version >= 470.0.0 gpu_name in [RTX_3090,RTX_4090]")) == 2
    assert search("num_gpus=1 gpu_name!=RTX_3090") == []
    assert len(search("num_gpus=1", "--new")) == 1
    assert [row["is_bid"] for row in search("num_gpus=1", "--type", "bid")] == [True]
    assert vast.raw("search", "offers", f"machine_id={machine.machine_id}") == []
    table = vast("search", "offers", f"machine_id={machine.machine_id} verified=any num_gpus=1")
    assert "RTX_3090" in table
    assert str(row["id"]) in table
    assert "1x" in table


def test_a_search_that_makes_no_sense_says_why(vast: VastAi) -> None:
    refused = vast.run("search", "offers", "gpu_nmae=RTX_3090")
    assert "Failed with error 400" in refused.stderr
    assert "Did you mean gpu_name" in refused.stderr


def test_a_key_given_as_a_path_is_refused_with_the_fix(vast: VastAi, key: SshKeyPair) -> None:
    path = str(key.private_file.with_suffix(".pub"))
    refused = vast.run("create", "ssh-key", path)
    assert "ssh-key created" not in refused.stdout
    assert "Failed with error 400" in refused.stderr
    (stored,) = vast.raw("show", "ssh-keys")
    assert stored["public_key"] == key.public_line


def test_account_and_api_keys(vast: VastAi, client: Account, tmp_path: Path) -> None:
    user = vast.raw("show", "user")
    assert (user["email"], user["id"]) == (client.email, client.id)
    assert 0 < user["credit"] <= 100
    assert client.email in vast("show", "user")
    permissions = tmp_path / "permissions.json"
    permissions.write_text(json.dumps({"api": EVERYTHING}))
    made = vast("create", "api-key", "--name", "extra", "--permission_file", str(permissions))
    key_id = re.search(r"'id': (\d+)", made)
    assert key_id
    assert "extra" in vast("show", "api-keys")
    assert "revoked" in vast("delete", "api-key", key_id[1])
    assert "extra" not in vast("show", "api-keys")


def test_credit_is_transferred_and_listed(vast: VastAi, vastai: Path, stack: Stack, tmp_path: Path) -> None:
    friend = account(stack)
    other = VastAi(vastai, friend, tmp_path)
    send = ("transfer", "credit", "--recipient", friend.email, "--amount", "2.5", "--skip")
    assert vast(*send).strip() == f"Sent 2.5 to {friend.email}"
    assert vast(*send).strip() == f"Sent 2.5 to {friend.email}", "the same request again"
    assert other.raw("show", "user")["credit"] == 2.5, "was done once"
    assert "Failed with error" in vast("transfer", "credit", friend.email, "1000000", "--skip")
    assert "404" in vast("transfer", "credit", "nobody@example.com", "3", "--skip")
    page = other.raw("show", "invoices-v1", "-i")
    assert [(row["type"], row["amount"]) for row in page["results"]] == [("transfer", 2.5)]
    table = vast.run("show", "invoices-v1", "-i", "-it", "transfers", "--no-color")
    assert "Transfer" in table.stdout
    assert "-$2.50" in table.stdout
    assert "Showing 1 of 1 results" in table.stdout
    assert "Credit" in vast.run("show", "invoices-v1", "-i", "--no-color").stdout
    listed = json.loads(vast.run("show", "invoices", "--only_credits", "--raw").stdout)
    assert sorted(row["amount"] for row in listed) == [-2.5, 100.0]


def test_a_wrong_key_is_told_so(vastai: Path, client: Account, tmp_path: Path) -> None:
    wrong = Account(client.stack, client.id, client.email, "", "syk_wrong", "")
    refused = VastAi(vastai, wrong, tmp_path).run("show", "instances")
    assert "Failed with error 401" in refused.stderr


def test_a_rental_from_search_to_destroy(
    vast: VastAi,
    client: Account,
    key: SshKeyPair,
    search: Callable[..., list[dict[str, Any]]],
    demo_image: str,
    tmp_path: Path,
) -> None:
    (offer,) = search("num_gpus=1")
    contract = create(vast, offer["id"], demo_image)
    pk = str(contract)
    assert create(vast, offer["id"], demo_image) == contract
    client.wait_until(contract, "running")
    check_shown(vast, pk, demo_image)

    host, port = address(vast, pk)
    login = key.ssh(host, port, "hostname; echo $VAST_CONTAINERLABEL; echo $MODE; cat /root/starts")
    assert login.stdout.split() == [f"C.{pk}", f"C.{pk}", "fast", "started"], login
    copied = scp(key, vast("scp-url", pk).strip(), tmp_path)
    assert key.ssh(host, port, f"cat /root/{copied.name}").stdout == copied.read_text()

    check_instance_keys(vast, pk, host, port, tmp_path)
    check_logs(vast, pk)
    assert executed(client, pk, "hostname; id -u") == f"C.{pk}\n0\n"

    assert "label for" in vast("label", "instance", pk, "second")
    assert vast.raw("show", "instance", pk)["label"] == "second"
    assert f"stopping instance {pk}" in vast("stop", "instance", pk)
    client.wait_until(contract, "stopped")
    assert "started" in vast("logs", pk)
    assert executed(client, pk, "ls /root/starts") == "/root/starts\n"
    assert f"starting instance {pk}" in vast("start", "instance", pk)
    client.wait_until(contract, "running")
    assert address(vast, pk) == (host, port)
    assert f"Rebooting instance {pk}" in vast("reboot", "instance", pk)
    client.wait_until(contract, "running")
    kept = key.ssh(host, port, f"wc -l < /root/starts; cat /root/{copied.name}")
    assert kept.stdout.split() == ["3", copied.read_text().strip()]

    check_charges(vast, pk)
    assert f"destroying instance {pk}" in vast("destroy", "instance", pk, "-y")
    client.wait_until(contract, "gone")
    check_gone(vast, pk)
    client.stack.wait_for(lambda: "started" in vast("logs", pk), "the log of a destroyed instance")


def check_logs(vast: VastAi, pk: str) -> None:
    """Every way in which the client shows logs."""
    assert "started" in vast("logs", pk)
    assert vast("logs", pk, "--tail", "1", "--filter", "started").strip().endswith("started")
    told = vast("logs", pk, "--daemon-logs")
    assert "agent run 1 running" in told
    assert "You have no instance 999999" in vast.run("logs", "999999").stderr


def executed(client: Account, pk: str, command: str) -> str:
    """The output of a command in the instance, as the client fetches it. Its own command fails on any success."""
    asked = client.call("PUT", f"/instances/command/{pk}/", {"command": command})
    assert asked["success"]
    assert asked["writeable_path"]
    answers: list[requests.Response] = []

    def is_there() -> bool:
        answers.append(requests.get(asked["result_url"], timeout=10))
        return answers[-1].status_code == 200

    client.stack.wait_for(is_there, f"the output of {command}")
    return answers[-1].text


def check_instance_keys(vast: VastAi, pk: str, host: str, port: int, folder: Path) -> None:
    """A key attached to the running instance opens it within seconds, and no longer once it is detached."""
    other = SshKeyPair.make(folder)
    assert other.ssh(host, port, "true").returncode == 255
    attached = vast("attach", "ssh", pk, str(other.private_file.with_suffix(".pub")))
    number = re.search(r"'id': (\d+)", attached)
    assert number, attached
    await_exit_code(other, host, port, 0)
    vast("detach", "ssh", pk, number[1])
    await_exit_code(other, host, port, 255)


def await_exit_code(key: SshKeyPair, host: str, port: int, code: int) -> None:
    """Log in until that ends as expected."""
    wait_until(
        lambda: key.ssh(host, port, "true").returncode == code,
        timeout_seconds=20,
        failure=lambda: f"ssh does not end with {code}",
    )


def check_charges(vast: VastAi, pk: str) -> None:
    """Every way in which the client shows what an instance costs."""
    deposit = json.loads(vast("show", "deposit", pk))
    assert (deposit["instance_id"], deposit["deposit"]) == (int(pk), 0.0)
    assert deposit["charged"] > 0
    page = vast.raw("show", "invoices-v1", "-c")
    (row,) = [row for row in page["results"] if row["source"] == f"instance-{pk}"]
    assert deposit["charged"] <= row["amount"] < 1
    assert {item["type"] for item in row["items"]} == {"gpu", "storage"}
    assert pk in vast.run("show", "invoices-v1", "-c", "--no-color").stdout
    tree = vast.run("show", "invoices-v1", "-c", "-f", "tree", "--verbose", "--no-color").stdout
    assert f"Instance {pk}" in tree
    assert "GPU time" in tree
    charges = vast.run("show", "invoices", "--only_charges", "--instance_label", "second").stdout
    assert f"Instance_{pk}:_GPU_time" in charges
    assert "Current:" in charges


def create(vast: VastAi, offer_id: int, image: str) -> int:
    """Rent through the client; the contract's number."""
    options = ["--image", image, "--disk", "10", "--ssh", "--direct", "--label", "first"]
    container = ["--env", "-e MODE=fast -p 8080:8080", "--onstart-cmd", "echo started | tee -a /root/starts"]
    started = vast("create", "instance", str(offer_id), *options, *container)
    told = re.search(r"Started\. .*'new_contract': (\d+)", started)
    assert told, started
    return int(told[1])


def check_shown(vast: VastAi, pk: str, image: str) -> None:
    """Every way in which the client shows instances."""
    (row,) = vast.raw("show", "instances")
    assert (row["id"], row["label"], row["actual_status"], row["num_gpus"]) == (int(pk), "first", "running", 1)
    assert row["extra_env"]["MODE"] == "fast"
    assert vast("show", "instances", "-q").split() == [pk]
    assert "first" in vast("show", "instances")
    assert "RTX 3090" in vast("show", "instances", "-v", "--status", "running", "--order-by", "start_date desc")
    assert "No instances matched" in vast("show", "instances", "--status", "exited")
    assert pk in vast("show", "instance", pk)
    assert vast.raw("show", "instance", pk)["image_uuid"] == image


def check_gone(vast: VastAi, pk: str) -> None:
    """The client knows nothing of it any more."""
    assert vast.raw("show", "instances") == []
    assert "not found or no longer exists" in vast.run("show", "instance", pk).stderr
    assert f"You have no instance {pk}" in vast.run("stop", "instance", pk).stderr


def address(vast: VastAi, pk: str) -> tuple[str, int]:
    """Where ``ssh-url`` says that the instance is."""
    url = urlsplit(vast("ssh-url", pk).strip())
    assert (url.scheme, url.username) == ("ssh", "root")
    assert url.hostname
    assert url.port
    return url.hostname, url.port


def scp(key: SshKeyPair, url: str, folder: Path) -> Path:
    """Copy a file to the address that the client printed, with the real scp."""
    file = folder / "greeting.txt"
    file.write_text("hello\n")
    options = ["-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
    command = ["scp", *options, "-i", str(key.private_file), str(file), f"{url}//root/{file.name}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return file


def test_templates_from_creation_to_a_rental(
    vast: VastAi, client: Account, key: SshKeyPair, search: Callable[..., list[dict[str, Any]]], demo_image: str
) -> None:
    says = ["--name", "Sleeper", "--image", demo_image, "--ssh", "--direct", "--disk_space", "12", "--desc", "Waits"]
    says += ["--env", "-e MODE=slow -p 8080:8080", "--search_params", "num_gpus=1", "--no-default"]
    assert "New Template: {" in vast("create", "template", *says, "--onstart-cmd", "echo one >> /root/starts")
    (made,) = json.loads(vast("search", "templates", "name=Sleeper"))
    assert (made["private"], made["recommended_disk_space"], made["count_created"]) == (True, 12.0, 0)
    assert made["extra_filters"] == {"num_gpus": {"eq": "1"}}
    told = vast("update", "template", made["hash_id"], *says, "--onstart-cmd", "echo two >> /root/starts")
    changed = json.loads(told.removeprefix("updated template: "))
    assert changed["id"] == made["id"]
    assert changed["hash_id"] != made["hash_id"]

    (offer,) = search("num_gpus=1")
    started = vast("create", "instance", str(offer["id"]), "--template_hash", changed["hash_id"], "--env", "-e OWN=1")
    contract = re.search(r"'new_contract': (\d+)", started)
    assert contract, started
    client.wait_until(int(contract[1]), "running")
    row = vast.raw("show", "instance", contract[1])
    assert [row[name] for name in ("template_id", "template_hash_id", "template_name", "disk_space")] == [
        changed["id"],
        changed["hash_id"],
        "Sleeper",
        12,
    ]
    login = key.ssh(*address(vast, contract[1]), "echo $MODE $OWN; cat /root/starts")
    assert login.stdout.split() == ["slow", "1", "two"], login
    assert "is deleted" in vast("delete", "template", "--hash-id", changed["hash_id"])
    assert json.loads(vast("search", "templates", "name=Sleeper")) == []
    vast("destroy", "instance", contract[1], "-y")
    client.wait_until(int(contract[1]), "gone")


def test_an_image_of_a_private_registry(
    vast: VastAi, client: Account, search: Callable[..., list[dict[str, Any]]], engine: docker.DockerClient
) -> None:
    with Registry(engine, login=("ada", "s3cret")) as registry:
        options = ["--image", registry.image, "--args", "sleep", "1000"]
        rented = []
        for login, state in ((f"-u ada -p s3cret {registry.address}", "running"), ("", "exited")):
            (offer,) = search("num_gpus=1")
            login_option = ["--login", login] if login else []
            started = vast("create", "instance", str(offer["id"]), *login_option, *options)
            contract = re.search(r"'new_contract': (\d+)", started)
            assert contract, started
            rented.append(int(contract[1]))
            row = client.wait_until(rented[-1], state)
        assert "needs a login to its registry" in row["status_msg"]
        assert "s3cret" not in str(vast.raw("show", "instances"))
        for number in rented:
            vast("destroy", "instance", str(number), "-y")
            client.wait_until(number, "gone")


def test_what_can_not_be_rented_is_refused(
    vast: VastAi, search: Callable[..., list[dict[str, Any]]], demo_image: str
) -> None:
    (offer,) = search("num_gpus=1")
    pk = str(offer["id"])
    for options, reason in (
        (["--image", demo_image, "--bid_price", "0.41"], "Rent on demand instead"),
        (["--image", demo_image, "--bid_price", "0.0001"], "at least $0.001"),
        (["--image", "NOT/An Image"], "is not an image name"),
        (["--image", demo_image, "--disk", "2"], "at least 8 GB"),
        (["--template_hash", "abc"], "There is no template"),
    ):
        refused = vast.run("create", "instance", pk, *options)
        assert "Started" not in refused.stdout, refused
        assert reason in refused.stderr
    assert "There is no offer" in vast.run("create", "instance", "999999999", "--image", demo_image).stderr
    assert vast.raw("show", "instances") == []


def test_bids_through_the_client(
    vast: VastAi, vastai: Path, client: Account, machine: HostMachine, demo_image: str, tmp_path: Path
) -> None:
    host = VastAi(vastai, machine.host, tmp_path)
    number = str(machine.machine_id)
    assert "min bid price changed" in host("set", "min-bid", number, "--price", "0.05")
    wanted = f"machine_id={number} verified=any num_gpus=2"
    (offer,) = vast.raw("search", "offers", wanted, "--interruptible")
    assert (offer["min_bid"], offer["is_bid"], offer["dph_base"]) == (0.1, True, 0.1)
    low, high = (bid(vast, offer["id"], demo_image, price) for price in ("0.1", "0.2"))
    assert vast.raw("show", "instance", str(low))["cur_state"] == "stopped"
    assert "would not run now: the minimum is" in refused_bid(vast, offer["id"], demo_image, "0.11")
    client.wait_until(high, "running")
    assert "bid" in vast("change", "bid", str(low), "--price", "0.3")
    client.wait_until(low, "running")
    row = vast.raw("show", "instance", str(high))
    assert [row[name] for name in ("cur_state", "intended_status", "next_state")] == ["stopped"] * 3
    vast("change", "bid", str(high))
    row = client.wait_until(high, "running")
    assert row["bid_price"] == 0.315001
    for contract in (low, high):
        vast("destroy", "instance", str(contract), "-y")
        client.wait_until(contract, "gone")


def bid(vast: VastAi, offer_id: int, image: str, price: str) -> int:
    """Rent interruptible through the client; the contract's number."""
    started = vast("create", "instance", str(offer_id), "--image", image, "--ssh", "--bid_price", price)
    told = re.search(r"Started\. .*'new_contract': (\d+)", started)
    assert told, started
    assert "'rental_type': 'interruptible'" in started
    return int(told[1])


def refused_bid(vast: VastAi, offer_id: int, image: str, price: str) -> str:
    return vast.run("create", "instance", str(offer_id), "--image", image, "--ssh", "--bid_price", price).stderr


def test_a_host_sees_and_lists_its_machine(vastai: Path, machine: HostMachine, vast: VastAi, tmp_path: Path) -> None:
    host = VastAi(vastai, machine.host, tmp_path)
    pk = str(machine.machine_id)
    assert "RTX_3090" in host("show", "machines")
    assert host.raw("show", "machine", pk)[0]["listed_gpu_cost"] == 0.4
    assert "delisted" in host("unlist", "machine", pk)
    assert vast.raw("search", "offers", f"machine_id={pk} verified=any") == []
    assert "offers created/updated" in host("list", "machine", pk, "-g", "0.4", "-s", "0.1", "-l", "2 weeks")
    assert len(vast.raw("search", "offers", f"machine_id={pk} verified=any")) == 2
    assert f"Machine {pk}: " in host("defrag", "machines", pk)
    assert '"success": true' in host("cleanup", "machine", pk)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    earned = host.raw("show", "earnings", "-s", today, "-e", today, "-m", pk)
    assert [row["machine_id"] for row in earned["per_machine"]] in ([], [int(pk)])
    assert sum(row["gpu_earn"] for row in earned["per_day"]) == earned["summary"]["total_gpu"]
    assert earned["current"]["balance"] >= earned["summary"]["total_gpu"]


def test_a_volume_from_search_to_delete(
    vast: VastAi,
    client: Account,
    machine: HostMachine,
    search: Callable[..., list[dict[str, Any]]],
    demo_image: str,
) -> None:
    """What one instance wrote is there for the next one, after the first is destroyed."""
    query = f"machine_id={machine.machine_id} verified=any"
    (offer,) = vast.raw("search", "volumes", query)
    assert str(machine.machine_id) in vast("search", "volumes", query)
    created = vast("create", "volume", str(offer["id"]), "-s", "8", "-n", "shared")
    number = re.search(r"'volume_id': (\d+)", created)
    assert number, created
    await_status(client, number[1], "running")
    write = "echo kept >/root/volume/file; exec sleep 1000"
    first = rented_with_volume(vast, search("num_gpus=1")[0]["id"], demo_image, number[1], write)
    client.wait_until(first, "running")
    (row,) = vast.raw("show", "volumes")
    assert (row["label"], row["disk_space"], row["instances"]) == ("shared", 8, [first])
    assert "shared" in vast("show", "volumes")
    assert "is attached to" in vast.run("delete", "volume", number[1]).stderr
    vast("destroy", "instance", str(first), "-y")
    client.wait_until(first, "gone")

    read = "cat /root/volume/file; exec sleep 1000"
    second = rented_with_volume(vast, search("num_gpus=1")[0]["id"], demo_image, number[1], read)
    client.wait_until(second, "running")
    client.stack.wait_for(lambda: "kept" in vast("logs", str(second)), "what the first instance wrote")
    vast("destroy", "instance", str(second), "-y")
    client.wait_until(second, "gone")
    assert "Deleted" in vast("delete", "volume", number[1])
    client.stack.wait_for(lambda: vast.raw("show", "volumes") == [], "the volume to be gone")

    new = ["--create-volume", str(offer["id"]), "--volume-size", "8", "--mount-path", "/data", "--volume-label", "made"]
    made = vast("create", "instance", str(search("num_gpus=1")[0]["id"]), "--image", demo_image, "--args", "true", *new)
    assert "'success': True" in made


def await_status(client: Account, volume_id: str, status: str) -> None:
    """Wait for the volume to be told in this status."""

    def is_so() -> bool:
        rows = client.call("GET", "/volumes/")["volumes"]
        return [row["status"] for row in rows if str(row["id"]) == volume_id] == [status]

    client.stack.wait_for(is_so, f"the volume to be {status}")


def rented_with_volume(vast: VastAi, offer_id: int, image: str, volume_id: str, script: str) -> int:
    """An instance that has the volume and runs the script."""
    linked = ["--link-volume", volume_id, "--mount-path", "/root/volume"]
    started = vast(
        "create", "instance", str(offer_id), "--image", image, *linked, "--entrypoint", "sh", "--args", "-c", script
    )
    told = re.search(r"'new_contract': (\d+)", started)
    assert told, started
    return int(told[1])
