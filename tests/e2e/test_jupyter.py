"""Jupyter as a client has it: rented with the real command-line client, opened by one click in Chromium."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from scripts.jupyter_image import ensure_images
from scripts.services.launching import free_port
from tests import images
from tests.e2e.test_vastai_client import VastAi, address
from tests.plumbing.rental import Account, HostMachine, SshKeyPair, account, host_machine
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.browser]

ROOT = Path(__file__).resolve().parents[2]
SLOW_MILLISECONDS = 120_000
INSECURE = "ignore:Unverified HTTPS request"


@pytest.fixture(scope="module")
def jupyter_image(engine: docker.DockerClient) -> str:
    """Debian with JupyterLab."""
    engine.ping()
    return ensure_images(ROOT / "var" / "cache")[1]


@pytest.fixture(scope="module")
def machine(stack: Stack) -> HostMachine:
    return host_machine(stack, "jupyter")


@pytest.fixture(scope="module")
def client(stack: Stack) -> Account:
    return account(stack, dollars=20)


@pytest.fixture(scope="module")
def key(client: Account, tmp_path_factory: pytest.TempPathFactory) -> SshKeyPair:
    pair = SshKeyPair.make(tmp_path_factory.mktemp("jupyter"))
    client.call("POST", "/ssh/", {"ssh_key": pair.public_line})
    return pair


@pytest.fixture
def vast(vastai: Path, client: Account, tmp_path: Path) -> VastAi:
    return VastAi(vastai, client, tmp_path)


@pytest.fixture
def page(browser: Browser, client: Account, stack: Stack) -> Iterator[Page]:
    """The client's browser, signed in. It takes the relay's certificate, which nobody else has signed."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, ignore_https_errors=True)
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(f"{stack.url}/accounts/login/")
    page.get_by_label("E-mail").fill(client.email)
    page.get_by_label("Password").fill(client.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Instances")).to_be_visible()
    yield page
    context.close()


def rent(vast: VastAi, machine: HostMachine, image: str, *options: str) -> int:
    """Rent one GPU of the machine with the client; the instance's number."""
    (offer,) = vast.raw("search", "offers", "-n", f"machine_id={machine.machine_id} num_gpus=1")
    wish = ["--image", image, "--disk", "10", "--jupyter", *options]
    contract: int = vast.raw("create", "instance", str(offer["id"]), *wish)["new_contract"]
    return contract


def open_jupyter(page: Page, stack: Stack, instance_id: int) -> Page:
    """One click on the page of the client's instances; the tab with JupyterLab in it."""
    page.goto(f"{stack.url}/instances/")
    button = page.locator(f"#instance-{instance_id}").get_by_role("link", name="Open Jupyter")
    expect(button).to_be_visible(timeout=SLOW_MILLISECONDS)
    with page.expect_popup() as opened:
        button.click()
    lab = opened.value
    expect(lab.locator(".jp-Launcher").first).to_be_visible(timeout=SLOW_MILLISECONDS)
    return lab


def upload(lab: Page, file: Path) -> None:
    """A file, by JupyterLab's own button."""
    with lab.expect_file_chooser() as chosen:
        lab.locator('[data-command="filebrowser:upload"], [title="Upload Files"]').first.click()
    chosen.value.set_files(file)
    expect(lab.locator(".jp-DirListing-item", has_text=file.name)).to_be_visible()


def open_terminal(lab: Page) -> None:
    """A new terminal of JupyterLab, to type into."""
    lab.locator(".jp-LauncherCard", has_text="Terminal").first.click()
    lab.locator(".jp-Terminal .xterm-helper-textarea").wait_for(state="attached")


def type_line(lab: Page, line: str) -> None:
    """Into the terminal. What is typed before it is connected is lost."""
    lab.locator(".jp-Terminal .xterm-helper-textarea").focus()
    lab.keyboard.type(f"{line}\n")


@contextmanager
def tunnel(key: SshKeyPair, host: str, port: int) -> Iterator[int]:
    """A port of this computer that the real ssh forwards to Jupyter's."""
    local = free_port()
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ExitOnForwardFailure=yes"]
    command = ["ssh", "-N", "-i", str(key.private_file), *(part for one in options for part in ("-o", one))]
    command += ["-p", str(port), f"root@{host}", "-L", f"{local}:localhost:8080"]
    process = subprocess.Popen(command)
    try:
        yield local
    finally:
        process.terminate()
        process.wait(timeout=20)


def status(url: str, token: str) -> int:
    """What Jupyter answers to who asks for its files; 0 while nothing answers."""
    try:
        return requests.get(url, params={"token": token}, verify=False, timeout=20).status_code  # noqa: S501 - the demo's certificate
    except requests.RequestException:
        return 0


@pytest.mark.filterwarnings(INSECURE)
def test_from_the_client_to_a_terminal_in_the_browser(
    stack: Stack, machine: HostMachine, vast: VastAi, key: SshKeyPair, page: Page, jupyter_image: str, tmp_path: Path
) -> None:
    instance_id = rent(vast, machine, jupyter_image, "--jupyter-lab", "--jupyter-dir", "/data")
    lab = open_jupyter(page, stack, instance_id)
    assert re.fullmatch(r"https://localhost:\d+/lab(\?.*)?", lab.url), "no token in the address"
    host, port = address(vast, str(instance_id))
    open_terminal(lab)

    def answered() -> bool:
        type_line(lab, "echo $((6*7)) $VAST_CONTAINERLABEL >/data/answer")
        return key.ssh(host, port, "cat /data/answer").stdout == f"42 C.{instance_id}\n"

    stack.wait_for(answered, "the terminal's command")
    file = tmp_path / "greeting.txt"
    file.write_text("hello from the browser\n")
    upload(lab, file)
    assert key.ssh(host, port, "cat /data/greeting.txt").stdout == "hello from the browser\n"
    check_tokens(stack, key, vast, instance_id, lab)
    check_stop_and_start(page, lab, instance_id, (key, host, port))


def check_tokens(stack: Stack, key: SshKeyPair, vast: VastAi, instance_id: int, lab: Page) -> None:
    """The right token opens it, through the relay and through ssh; a wrong one does not."""
    row: dict[str, Any] = vast.raw("show", "instance", str(instance_id))
    files = lab.url.partition("/lab")[0] + "/api/contents"
    assert [status(files, row["jupyter_token"]), status(files, "wrong")] == [200, 403]
    host, port = address(vast, str(instance_id))
    with tunnel(key, host, port) as local:
        tunnelled = f"http://localhost:{local}/api/contents"
        stack.wait_for(lambda: status(tunnelled, row["jupyter_token"]) == 200, "the tunnel")
        assert status(tunnelled, "wrong") == 403


def check_stop_and_start(page: Page, lab: Page, instance_id: int, login: tuple[SshKeyPair, str, int]) -> None:
    """The address, the session in it and the files stay."""
    key, host, port = login
    page.bring_to_front()  # a page in the background draws no frames, which clicks wait for
    card = page.locator(f"#instance-{instance_id}")
    card.get_by_role("button", name="Stop").click()
    expect(card).to_contain_text("Stopped", timeout=SLOW_MILLISECONDS)
    card.get_by_role("button", name="Start").click()
    expect(card.get_by_role("link", name="Open Jupyter")).to_be_visible(timeout=SLOW_MILLISECONDS)
    lab.bring_to_front()
    lab.reload()
    expect(lab.locator(".jp-DirListing-item", has_text="greeting.txt")).to_be_visible(timeout=SLOW_MILLISECONDS)
    assert key.ssh(host, port, "cat /data/greeting.txt").stdout == "hello from the browser\n"


def test_an_image_without_python_says_so_and_works_over_ssh(
    stack: Stack, machine: HostMachine, vast: VastAi, key: SshKeyPair, page: Page
) -> None:
    instance_id = rent(vast, machine, images.build())
    page.goto(f"{stack.url}/instances/{instance_id}/")
    expect(page.locator("main")).to_contain_text(
        "The image has neither Jupyter nor Python 3.8 or later. SSH works.", timeout=SLOW_MILLISECONDS
    )
    assert page.get_by_role("link", name="Open Jupyter").count() == 0
    assert key.ssh(*address(vast, str(instance_id)), "echo works").stdout == "works\n"
