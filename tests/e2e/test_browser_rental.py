"""One rental from an empty database to a removed container, all of it by clicking in Chromium and with the real ssh."""

import re
import shlex
from collections.abc import Iterator
from datetime import datetime

import psycopg2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.plumbing.rental import SshKeyPair, containers_of
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.browser]

PASSWORD = "correct-horse-battery"
START_MILLISECONDS = 60_000
ONSTART = "echo started >> /root/starts"


@pytest.fixture
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An installation that nobody has used yet."""
    with Stack(tmp_path_factory.mktemp("browser")) as running:
        yield running


def visitor(browser: Browser, stack: Stack) -> Page:
    """A fresh browser on the first page."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stack.url)
    page = context.new_page()
    page.goto(stack.url)
    return page


def sign_up(page: Page, stack: Stack, email: str) -> None:
    """Create an account, open the link in the mail (the console backend prints it into the log), sign in."""
    page.get_by_role("link", name="Sign up").click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The password again").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    page.goto(mailed_link(stack, email))
    page.get_by_role("button", name="Yes, confirm it").click()
    if page.url.endswith("/accounts/login/"):
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Instances")).to_be_visible()


def mailed_link(stack: Stack, email: str) -> str:
    """The confirmation link in the newest mail to ``email``."""
    log = stack.layout.log("web")
    stack.wait_for(lambda: f"To: {email}" in log.read_text(), f"a mail to {email}")
    mail = log.read_text().rpartition(f"To: {email}")[2]
    found = re.search(rf"{re.escape(stack.url)}/accounts/confirm-email/\S+", mail)
    assert found is not None, mail
    return found[0]


def host_a_machine(page: Page, stack: Stack) -> None:
    """Install token, agent, prices: by the pages of the host."""
    page.get_by_role("button", name="Host").click()
    page.get_by_role("link", name="Setup").click()
    page.get_by_label("Name of the new token").fill("basement")
    page.get_by_role("button", name="Create a token").click()
    command = page.locator(".callout code").first.inner_text()
    token = shlex.split(command)[-1]
    stack.start_agent("browser", token=token, simulate="2x RTX 3090")
    page.get_by_role("link", name="Go to Machines").click()
    card = page.locator("article", has_text="2\N{MULTIPLICATION SIGN} RTX 3090")
    expect(card).to_contain_text("Online", timeout=START_MILLISECONDS)
    expect(card).to_contain_text("Not listed")
    card.get_by_role("link", name="Set prices").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("On-demand price").fill("0.40")
    dialog.get_by_role("button", name="List this machine").click()
    expect(card).to_contain_text("$0.40 per GPU-hour")


def give_credit(stack: Stack, email: str) -> None:
    """$10 by the staff, who are not part of this story."""
    stack.shell(
        "from django.utils import timezone; from billing.services import credit_grant; "
        "from marketplace.models import User; "
        f"credit_grant(user=User.objects.get(email={email!r}), amount_micros=10_000_000, actor=None, "
        "reason='welcome', idempotency_key='browser', now=timezone.now())"
    )


def rent(page: Page, image: str) -> int:
    """Search, fill in the dialog, rent; the instance's number."""
    page.get_by_role("link", name="Search").click()
    page.locator(".segments label", has_text="1\N{MULTIPLICATION SIGN}").click()
    offer = page.locator("article.offer")
    expect(offer).to_have_count(1)
    offer.get_by_role("link", name="Rent").click()
    dialog = page.locator("#dialog")
    dialog.locator("#id_image").fill(image)
    dialog.get_by_label("Label").fill("first run")
    dialog.get_by_text("Environment, ports, on-start script").click()
    dialog.get_by_label("On-start script").fill(ONSTART)
    dialog.get_by_role("button", name="Rent on demand").click()
    page.wait_for_url("**/instances/")
    title = page.locator("article.instance-card h2").inner_text()
    return int(title.rpartition("C.")[2])


def connect(page: Page, instance_id: int) -> tuple[str, int]:
    """Address and port from the command that one click copies."""
    page.locator(f"#instance-{instance_id}").get_by_text("Connect").click()
    page.get_by_role("button", name="Copy Log in").click()
    command = page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Close").first.click()
    found = re.fullmatch(r"ssh -p (\d+) root@(\S+) -L 8080:localhost:8080", command)
    assert found is not None, command
    return found[2], int(found[1])


def gpu_charge(stack: Stack, instance_id: int) -> tuple[int, int, int]:
    """Micro-dollars taken from the client, by the host earned, and what rate times time comes to."""
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT m.posted_micros, m.rate_micros, s.started_at, s.ended_at FROM billing_metersegment s "
            "JOIN billing_meter m ON m.id = s.meter_id WHERE m.reference = %s",
            [f"instance:{instance_id}:gpu"],
        )
        rows: list[tuple[int, int, datetime, datetime]] = cursor.fetchall()
        cursor.execute(
            "SELECT coalesce(sum(p.amount_micros), 0) FROM billing_posting p JOIN billing_entry e ON e.id = p.entry_id "
            "JOIN billing_meter m ON m.id = e.meter_id JOIN billing_ledgeraccount a ON a.id = p.account_id "
            "WHERE m.reference = %s AND a.kind = 'host_earnings'",
            [f"instance:{instance_id}:gpu"],
        )
        ((earned,),) = cursor.fetchall()
    microseconds = sum(round((end - start).total_seconds() * 1e6) for _, _, start, end in rows)
    return rows[0][0], int(earned), microseconds * rows[0][1] // 3_600_000_000


def test_from_sign_up_to_a_removed_container(
    browser: Browser, own_stack: Stack, demo_image: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    host_page, page = visitor(browser, own_stack), visitor(browser, own_stack)
    sign_up(host_page, own_stack, "host@example.com")
    host_a_machine(host_page, own_stack)
    sign_up(page, own_stack, "ann@example.com")
    give_credit(own_stack, "ann@example.com")
    expect(page.locator(".balance-pill")).to_contain_text("$10.00")

    key = SshKeyPair.make(tmp_path_factory.mktemp("ssh"))
    page.get_by_role("link", name="Account").click()
    page.get_by_label("Change SSH Key").fill(key.public_line)
    page.get_by_role("button", name="Add key").click()
    expect(page.locator(".fingerprint")).to_contain_text("SHA256:")

    instance_id = rent(page, demo_image)
    card = page.locator(f"#instance-{instance_id}")
    expect(card).to_contain_text("Running", timeout=START_MILLISECONDS)
    address, port = connect(page, instance_id)
    own_stack.wait_for(lambda: key.ssh(address, port, "true").returncode == 0, "sshd to answer")
    shown = key.ssh(address, port, "hostname; echo $VAST_CONTAINERLABEL; echo data > /root/kept; cat /root/starts")
    assert shown.stdout.split() == [f"C.{instance_id}", f"C.{instance_id}", "started"]

    card.get_by_role("button", name="Stop").click()
    expect(card).to_contain_text("Stopped", timeout=START_MILLISECONDS)
    card.get_by_role("button", name="Start").click()
    expect(card).to_contain_text("Running", timeout=START_MILLISECONDS)
    own_stack.wait_for(lambda: key.ssh(address, port, "true").returncode == 0, "sshd to answer again")
    assert key.ssh(address, port, "cat /root/kept; wc -l < /root/starts").stdout.split() == ["data", "2"]

    card.get_by_role("button", name="More for instance").click()
    card.get_by_text("Destroy…").click()
    page.get_by_role("button", name="Destroy it").click()
    expect(page.get_by_text("No instances yet")).to_be_visible(timeout=START_MILLISECONDS)
    assert containers_of(own_stack, instance_id) == []

    charged, earned, owed = gpu_charge(own_stack, instance_id)
    assert (charged, earned) == (owed, owed * 3 // 4)
    assert charged > 0
    page.get_by_role("link", name="Billing").click()
    expect(page.locator("main")).to_contain_text(f"Instance {instance_id}, GPU")
    host_page.get_by_role("button", name="Host").click()
    host_page.get_by_role("link", name="Machines").click()
    expect(host_page.locator("main")).to_contain_text("0 of 2 GPUs")
    own_stack.manage("ledger_check")
