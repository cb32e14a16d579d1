"""The log page and the box for commands, with a real container behind them."""

import pytest
from playwright.sync_api import Page, expect

from tests.plumbing.rental import Account, account, host_machine
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.browser]

FAR_MORE_THAN_IT_TAKES = 20_000
SCRIPT = "echo '<b>first</b>'; exec sleep 1000"


def sign_in(page: Page, client: Account) -> None:
    page.goto(f"{client.stack.url}/accounts/login/")
    page.get_by_label("E-mail").fill(client.email)
    page.get_by_label("Password").fill(client.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Instances")).to_be_visible()


def run(page: Page, command: str) -> None:
    page.get_by_label("Command", exact=True).fill(command)
    page.get_by_role("button", name="Run").click()


def test_a_log_is_followed_and_commands_are_run(stack: Stack, page: Page, demo_image: str) -> None:
    machine = host_machine(stack, "logs", simulate="1x RTX 3090")
    client = account(stack, dollars=100)
    number = client.rent(machine.machine_id, image=demo_image, runtype="args", args=["sh", "-c", SCRIPT])
    client.wait_until(number, "running")
    sign_in(page, client)

    other = page.context.new_page()
    other.goto(f"{stack.url}/instances/{number}/logs/")
    lines = other.get_by_role("log")
    expect(lines).to_contain_text("<b>first</b>", timeout=FAR_MORE_THAN_IT_TAKES)

    page.goto(f"{stack.url}/instances/{number}/")
    run(page, "echo written later >/proc/1/fd/1; echo told at once; exit 3")
    outcome = page.locator("#command-outcome")
    expect(outcome).to_contain_text("told at once", timeout=FAR_MORE_THAN_IT_TAKES)
    expect(outcome).to_contain_text("exit code 3")
    expect(lines).to_contain_text("written later")

    other.get_by_placeholder("Filter lines").fill("LATER")
    expect(lines.get_by_text("written later")).to_be_visible()
    expect(lines.get_by_text("first")).to_be_hidden()
    expect(other.locator("[data-log-count]")).to_have_text("1 of 2 lines")
    with other.expect_download(timeout=FAR_MORE_THAN_IT_TAKES) as download:
        other.get_by_role("button", name="Download").click()
    assert download.value.path().read_text() == "<b>first</b>\nwritten later\n"
    assert download.value.suggested_filename == f"instance-{number}.log"

    page.bring_to_front()  # a page in the background draws no frames, which clicks wait for
    page.get_by_role("button", name="Stop").click()
    client.wait_until(number, "stopped")
    run(page, "ls -d /root /etc/passwd")
    expect(outcome).to_contain_text("/etc/passwd\n/root", timeout=FAR_MORE_THAN_IT_TAKES)
    run(page, "nvidia-smi")
    expect(outcome).to_contain_text("only these commands work")

    client.call("DELETE", f"/instances/{number}/", {})
    client.wait_until(number, "gone")
    page.goto(f"{stack.url}/instances/")
    page.get_by_role("link", name=f"C.{number}").click()
    expect(page.get_by_role("log")).to_contain_text("written later")
    expect(page.get_by_role("status").filter(has_text="All that was kept.")).to_be_visible()
