"""Every page in a real browser: scripts run under the strict policy, and the console has nothing to complain about."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urljoin

import pytest
from django.test import Client, override_settings
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from agent.telemetry_protocol import TaskReading
from hosting.models import Measurement, Volume
from hosting.services.measuring import benchmark_ask
from marketplace.models import Instance, User
from marketplace.services.rent import instance_rent
from marketplace.services.templates import starter_set, template_create
from marketplace.services.volumes import volume_rent
from marketplace.starter_templates import STARTERS
from tests.plumbing import benchmarks, market
from tests.plumbing.telemetry import TestSensors, window

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PUBLIC = [
    "/",
    "/help/",
    "/templates/",
    "/templates/choose/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
]
PRIVATE = [
    "/",
    "/?unavailable=on&sort=price&precision=int8",
    "/?type=interruptible&unavailable=on",
    "/instances/",
    "/instances/{instance}/",
    "/instances/{bid}/",
    "/instances/{bid}/bid/",
    "/instances/{instance}/logs/",
    "/instances/{instance}/connect/",
    "/instances/{instance}/keys/",
    "/instances/{instance}/copy/",
    "/instances/{instance}/copy-url/",
    "/instances/{instance}/move/",
    "/instances/{instance}/destroy/",
    "/offers/{offer}/rent/",
    "/offers/{offer}/rent/?type=interruptible",
    "/templates/",
    "/volumes/",
    "/volumes/new/",
    "/volumes/{volume}/delete/",
    "/offers/{offer}/volume/",
    "/templates/new/",
    "/templates/choose/",
    "/templates/{template}/",
    "/templates/{template}/edit/",
    "/templates/{template}/delete/",
    "/?template={template_hash}&unavailable=on",
    "/offers/{offer}/rent/?template={template_hash}",
    "/account/",
    "/billing/",
    "/billing/payment/",
    "/billing/statements/",
    "/billing/statements/{month}/",
    "/help/",
    "/host/machines/",
    "/host/machines/{machine}/",
    "/host/machines/{machine}/benchmarks/{run}/",
    "/host/machines/{machine}/prices/",
    "/host/machines/{machine}/extend/",
    "/host/machines/{machine}/room/",
    "/host/jobs/create/?machine={machine}",
    "/host/earnings/",
    "/host/payouts/",
    "/host/setup/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/accounts/logout/",
]

Open = Callable[..., Page]


class Market:
    """One account with an instance on demand and one that bids, which also hosts a machine."""

    def __init__(self) -> None:
        now = timezone.now()
        self.user = market.user("ada@example.com")
        market.grant(self.user, 100, now - timedelta(hours=3))
        end_at = now + timedelta(days=30)
        self.agent = market.listed_machine(market.user("host@example.com"), now=now, end_at=end_at)
        self.own = market.listed_machine(self.user, now=now, end_at=end_at)
        self.instance = self.rent(1)
        self.bid = self.rent(1, bid_micros_per_hour=200_000)
        self.volume = self.rent_volume()
        self.agent.obey(timezone.now())
        starter_set(starters=STARTERS, now=now)
        content = replace(STARTERS["vllm"], name="Mine", extra_filters={"num_gpus": {"gte": 2}})
        self.template = template_create(owner=self.user, content=content, private=True, now=now)
        self.runs = [self.measure(score) for score in (20.0, 12.5)]
        self.use()

    def measure(self, score: float) -> Measurement:
        """A benchmark of the own machine, whose GPUs are simulated."""
        now = timezone.now()
        with override_settings(DLPERF_IMAGE=benchmarks.IMAGE):
            benchmark_ask(machine_id=self.own.machine.pk, host=self.user, now=now)
        return benchmarks.run_to_the_end(self.own, now, benchmarks.line(score, cpu=True))

    def use(self) -> None:
        """Measurements of an hour, and a look just now, of both machines; the instance uses its GPU."""
        now, ours = timezone.now(), {self.instance.machine_id: self.instance.task_id}
        for machine in (self.agent.machine, self.own.machine):
            task_id = ours.get(machine.pk)
            sensors = TestSensors(machine, session_id=f"{machine.pk}-{now.timestamp()}")
            if task_id is not None:
                uuids = [sensors.gpus[0].uuid]
                sensors.tasks = [TaskReading(task_id=task_id, gpu_uuids=uuids, cpu_percent=40.0, ram_used_mb=9000)]
            for number in range(0, 60, 20):
                some = range(number, number + 20)
                told = [window(machine, one, 60.0 * (60 - one), task_id, util=40.0 + one % 7 * 8) for one in some]
                sensors.tell(now, *told)

    def rent(self, gpus: int, **values: object) -> Instance:
        offer, wish = market.offer(self.agent, gpus), market.wish(label="sweep", **values)
        return instance_rent(client=self.user, offer_id=offer.pk, request=wish, now=timezone.now())

    def rent_volume(self) -> Volume:
        made = volume_rent(
            client=self.user, offer_id=market.offer(self.agent, 2).pk, size_gb=50, label="data", now=timezone.now()
        )
        self.agent.keep_volumes(timezone.now())
        return made

    def path(self, template: str) -> str:
        return template.format(
            instance=self.instance.pk,
            bid=self.bid.pk,
            machine=self.own.machine.pk,
            run=self.runs[0].pk,
            offer=market.offer(self.agent, 2).pk,
            volume=self.volume.pk,
            template=self.template.pk,
            template_hash=self.template.hash_id,
            month=f"{timezone.now():%Y-%m}",
        )


@pytest.fixture(autouse=True)
def _now() -> None:
    """The browser's clock is real, so the server's is too."""


@pytest.fixture
def scene() -> Market:
    return Market()


@pytest.fixture
def complaints() -> list[str]:
    """What browsers said in their consoles; empty in the end."""
    return []


@pytest.fixture
def open_page(browser: Browser, live_server: LiveServer, complaints: list[str]) -> Iterator[Open]:
    contexts: list[BrowserContext] = []

    def opened(path: str, user: User | None = None, *, width: int = 1280, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 850}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        context.set_default_timeout(15_000)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        if user is not None:
            context.add_cookies([{"name": "sessionid", "value": _session(user), "url": live_server.url}])
        page = context.new_page()
        page.on("console", lambda message: _note(complaints, message))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(live_server.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _session(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def _note(complaints: list[str], message: ConsoleMessage) -> None:
    if message.type in ("error", "warning"):
        complaints.append(f"{message.type}: {message.text} ({message.location.get('url')})")


def overflow_px(page: Page) -> int:
    """How far the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def only_refusals(complaints: list[str]) -> None:
    """Browsers log every answer from 400 on; those that the test provoked are no fault."""
    assert [said for said in complaints if "422" not in said] == []
    complaints.clear()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.usefixtures("scene")
def test_public_pages_are_clean(open_page: Open, width: int) -> None:
    _visit(open_page(PUBLIC[0], width=width), PUBLIC)


@pytest.mark.parametrize("width", [390, 1280])
def test_private_pages_are_clean(open_page: Open, scene: Market, width: int) -> None:
    paths = [scene.path(path) for path in PRIVATE]
    _visit(open_page(paths[0], scene.user, width=width), paths)


def _visit(page: Page, paths: Sequence[str]) -> None:
    """One after the other in one tab: each page has a heading and fits the window. Dozens of open pages would go on
    asking the server, which then takes too long to answer the next one."""
    for path in paths:
        page.goto(urljoin(page.url, path))
        expect(page.locator("h1").first).to_be_attached()
        assert overflow_px(page) <= 0, path


def test_a_menu_that_opens_while_an_answer_is_on_its_way_stays_open(open_page: Open, scene: Market) -> None:
    page = open_page("/instances/", scene.user)
    page.evaluate("() => { window.answered = new Promise((then) => addEventListener('htmx:afterRequest', then)); }")
    held: list[Route] = []
    with page.expect_request("**/instances/cards/"):
        page.route("**/instances/cards/", lambda route: held.append(route))
    page.get_by_role("button", name="More for instance").first.click()
    expect(page.get_by_text("Destroy…").first).to_be_visible()
    held[0].continue_()
    page.evaluate("() => window.answered.then(() => null)")
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(page.get_by_text("Destroy…").first).to_be_visible()


def test_a_machines_scores_are_drawn(open_page: Open, scene: Market) -> None:
    page = open_page(scene.path("/host/machines/{machine}/"), scene.user)
    expect(page.locator("#benchmarks .chart canvas")).to_be_visible()
    expect(page.locator("#benchmarks .u-legend")).to_contain_text("12.5")


def test_measurements_are_drawn_and_another_period_is_chosen(open_page: Open, scene: Market) -> None:
    page = open_page(scene.path("/host/machines/{machine}/?period=1h"), scene.user)
    expect(page.locator("#history .chart canvas")).to_have_count(8)
    expect(page.locator("#history .u-legend").first).to_contain_text("GPU 3")
    page.locator("#history summary").click()
    page.locator("#history .btn", has_text="7 days").click()
    expect(page.locator("#history .btn.active")).to_have_text("7 days")
    expect(page.locator("#history .chart canvas")).to_have_count(8)
    expect(page.locator("#history .history-table table")).to_be_visible()


@pytest.mark.usefixtures("scene")
def test_filters_change_the_offers_and_the_address(open_page: Open, complaints: list[str]) -> None:
    page = open_page("/")
    page.locator(".segments label", has_text="2\N{MULTIPLICATION SIGN}").click()
    expect(page.locator("article.offer")).to_have_count(2)
    page.fill("#id_price_max", "cheap")
    expect(page.locator("#error-price_max")).to_contain_text("is not an amount in dollars")
    page.fill("#id_price_max", "2")
    expect(page.locator("#error-price_max")).to_be_empty()
    expect(page.locator("article.offer")).to_have_count(2)
    page.wait_for_url("**/?gpus=2&price_max=2")
    page.reload()
    expect(page.locator("article.offer")).to_have_count(2)
    expect(page.locator("#id_price_max")).to_have_value("2")
    only_refusals(complaints)


def test_a_template_is_chosen_and_fills_the_rent_dialog_in(open_page: Open, scene: Market) -> None:
    page = open_page("/?unavailable=on", scene.user)
    page.locator("a", has_text="Choose a template").click()
    dialog = page.locator("#dialog")
    expect(dialog.locator(".list-group-item")).to_have_count(len(STARTERS) + 1)
    dialog.locator("[type=search]").fill("mine")
    expect(dialog.locator(".list-group-item")).to_have_count(1)
    dialog.locator(".list-group-item").click()
    page.wait_for_url(f"**/?unavailable=on&template={scene.template.hash_id}")
    expect(page.locator(".template-chosen .chip")).to_have_text("num_gpus >= 2")
    expect(page.locator("article.offer")).to_have_count(4)
    page.locator("label", has_text="Ignore what the template asks for").click()
    expect(page.locator("article.offer")).to_have_count(6)
    page.locator("article.offer", has_text="Rent").locator("a.btn-primary").first.click()
    expect(dialog.locator("#id_image")).to_have_value("vllm/vllm-openai:v0.6.3")
    expect(dialog.locator("#id_args")).to_have_value(re.compile("--model Qwen"))
    expect(dialog.locator("#id_disk_gb")).to_have_value("60")


def test_dlperf_follows_the_precision_and_the_ticked_box(open_page: Open, scene: Market) -> None:
    page = open_page("/", scene.user)
    card = page.locator("article.offer").first
    expect(card).not_to_contain_text("for INT8")
    page.select_option("#id_precision", "int8")
    expect(card).to_contain_text("for INT8")
    page.select_option("#id_precision", "")
    page.get_by_text("Adapt DLPerf to my image").click()
    expect(card).to_contain_text("for PyTorch")
    assert "adapt=on" in page.url
    assert "precision" not in page.url


def test_rent_from_the_search_page(open_page: Open, scene: Market) -> None:
    page = open_page("/?gpus=2&sort=price", scene.user)
    page.locator("article.offer .btn-primary").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Disk").fill("100")
    expect(dialog.locator("#rent-price")).to_contain_text("100 GB disk")
    dialog.locator("#id_image").fill("ubuntu:22.04")
    dialog.get_by_text("Environment, ports, on-start script").click()
    dialog.get_by_role("button", name="Add a variable").click()
    dialog.get_by_label("Name of the variable").fill("MODE")
    dialog.get_by_label("Value of the variable").fill("fast")
    dialog.get_by_role("button", name="Rent on demand for $1.00/h").click()
    page.wait_for_url("**/instances/")
    expect(page.locator(".toast")).to_contain_text("Rented.")
    rented = Instance.objects.latest("pk")
    assert (rented.disk_gb, rented.env) == (100, {"MODE": "fast"})
    expect(page.locator(f"#instance-{rented.pk}")).to_contain_text("Loading")
    scene.agent.obey(timezone.now())
    expect(page.locator(f"#instance-{rented.pk}")).to_contain_text("Running")


def test_a_bad_field_keeps_the_dialog_open(open_page: Open, scene: Market, complaints: list[str]) -> None:
    page = open_page("/?gpus=2", scene.user)
    page.locator("article.offer .btn-primary").click()
    dialog = page.locator("#dialog")
    dialog.locator("#id_image").fill("no image!")
    dialog.get_by_role("button", name="Rent on demand for $1.00/h").click()
    expect(dialog.locator("#id_image-error")).to_contain_text("is not an image name")
    assert Instance.objects.count() == 2
    only_refusals(complaints)


def test_bid_from_the_search_page(open_page: Open, scene: Market, complaints: list[str]) -> None:
    rival = scene.rent(2, bid_micros_per_hour=400_000)
    scene.agent.obey(timezone.now())
    page = open_page("/?gpus=2&sort=price", scene.user)
    page.locator("#rental-type label", has_text="Interruptible").click()
    page.wait_for_url("**type=interruptible**")
    page.get_by_role("link", name="Bid", exact=True).click()
    dialog = page.locator("#dialog")
    expect(dialog.get_by_role("heading", level=2)).to_have_text(
        re.compile(r"RTX 3090\s+interruptible"), use_inner_text=True
    )
    bid = dialog.get_by_role("button", name="Rent interruptible, bidding $")
    expect(bid).to_contain_text("$0.420001/h")
    dialog.locator("#id_price").fill("0.3")
    expect(bid).to_contain_text("$0.30/h")
    expect(dialog.locator("#bid-market")).to_contain_text("This bid would not run now.")
    bid.click()
    expect(dialog.locator("#id_price-error")).to_contain_text("the minimum is $0.420001")
    dialog.get_by_role("button", name="$0.420001", exact=True).click()
    expect(dialog.locator("#id_price")).to_have_value("0.420001")
    expect(dialog.locator("#rent-price .only-bid")).to_contain_text("$0.4214")
    bid.click()
    page.wait_for_url("**/instances/")
    expect(page.locator(".toast")).to_contain_text("Rented.")
    rented = Instance.objects.latest("pk")
    assert (rented.bid_micros_per_hour, rented.num_gpus) == (420_001, 2)
    expect(page.locator(f"#instance-{rented.pk}")).to_contain_text("Interruptible")
    expect(page.locator(f"#instance-{rival.pk}")).to_contain_text("A bid of $0.420002/h would run it now.")
    only_refusals(complaints)


def test_connect_copies_the_command_with_one_click(open_page: Open, scene: Market) -> None:
    page = open_page("/instances/", scene.user)
    page.locator(f"#instance-{scene.instance.pk}").get_by_text("Connect").click()
    page.get_by_role("button", name="Copy Log in").click()
    expect(page.locator(".copy-button.is-copied")).to_have_count(1)
    command = f"ssh -p {scene.instance.ssh_port} root@192.0.2.7 -L 8080:localhost:8080"
    assert page.evaluate("navigator.clipboard.readText()") == command


def test_stop_and_destroy_from_the_card(open_page: Open, scene: Market) -> None:
    page = open_page("/instances/", scene.user)
    card = page.locator(f"#instance-{scene.instance.pk}")
    card.get_by_role("button", name="Stop").click()
    expect(card).to_contain_text("Stopping")
    scene.agent.obey(timezone.now())
    expect(card).to_contain_text("Stopped")
    card.get_by_role("button", name="More for instance").click()
    card.get_by_text("Destroy…").click()
    page.get_by_role("button", name="Destroy it").click()
    expect(card).to_contain_text("Destroying")
    scene.agent.obey(timezone.now())
    expect(card).to_have_count(0)


def test_set_prices_in_the_dialog(open_page: Open, scene: Market) -> None:
    page = open_page("/host/machines/", scene.user)
    page.locator(".machine-actions").get_by_text("Set prices").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("On-demand price").fill("0.33")
    dialog.get_by_role("button", name="Change prices").click()
    expect(page.locator(".terms")).to_contain_text("$0.33 per GPU-hour")
    expect(dialog).to_be_hidden()
    expect(page.locator(".toast")).to_contain_text("is listed at these prices")


def test_a_price_floor_in_three_clicks(open_page: Open, scene: Market) -> None:
    page = open_page("/host/machines/", scene.user)
    page.get_by_role("link", name="Create job").click()
    page.get_by_role("button", name="ubuntu", exact=True).click()
    page.get_by_role("button", name="bash", exact=True).click()
    page.get_by_label("Price").fill("0.15")
    page.get_by_role("button", name="Create the job").click()
    job = page.locator(f"#job-{scene.own.machine.pk}")
    expect(job).to_contain_text("ubuntu bash")
    expect(job).to_contain_text("$0.15 per GPU-hour")
    job.get_by_role("button", name="Remove").click()
    expect(page.locator("#jobs")).to_contain_text("No idle jobs.")


def test_extend_in_the_dialog(open_page: Open, scene: Market) -> None:
    page = open_page("/host/machines/", scene.agent.machine.host)
    page.locator(".machine-actions").get_by_text("Extend").click()
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("3 contracts on this machine")
    end = scene.instance.end_at + timedelta(days=40)
    dialog.get_by_label("New end date").fill(f"{end:%Y-%m-%d}")
    dialog.get_by_role("button", name="Extend").click()
    expect(page.locator(".toast")).to_contain_text("3 contracts extended")
    expect(dialog).to_be_hidden()


def test_a_dialog_closes_though_the_answer_comes_while_it_opens(open_page: Open, scene: Market) -> None:
    page = open_page("/host/machines/", scene.agent.machine.host)
    page.evaluate(
        """() => {
            const close = () => document.dispatchEvent(new Event("dialog-close"));
            document.addEventListener("show.bs.modal", () => setTimeout(close));
            document.addEventListener("hidden.bs.modal", () => { document.documentElement.dataset.closed = "yes"; });
        }"""
    )
    page.locator(".machine-actions").get_by_text("Extend").click()
    expect(page.locator("html")).to_have_attribute("data-closed", "yes")
    expect(page.locator("#dialog")).to_be_hidden()


@pytest.mark.usefixtures("scene")
def test_the_theme_is_remembered(open_page: Open) -> None:
    page = open_page("/", dark=True)
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-bs-theme", "light")


def test_the_balance_in_the_header_moves_by_itself(open_page: Open, scene: Market) -> None:
    page = open_page("/help/", scene.user)
    balance = page.locator(".balance-pill")
    expect(balance).to_contain_text("$100.00")
    market.grant(scene.user, 5, timezone.now())
    expect(balance).to_contain_text("$105.00")


def test_a_server_out_of_reach_is_said(open_page: Open, scene: Market, complaints: list[str]) -> None:
    page = open_page("/instances/", scene.user)
    page.context.set_offline(True)
    expect(page.locator(".offline-note")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator(".offline-note")).to_be_hidden()
    complaints.clear()
