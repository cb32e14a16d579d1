"""What every test may ask for: the Docker engine, the demo's image, Chromium, the vastai client, the whole product."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import docker
import hypothesis
import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright
from xdist.scheduler import LoadScopeScheduling

from scripts.guest_tools import ensure_bundle
from scripts.image import ensure_image
from tests.plumbing.nat import Nat
from tests.plumbing.stack import Stack
from tests.plumbing.template import server_of, template_database
from tests.plumbing.unavailable import unavailable

# The same examples every time, and no judging by the clock: these machines are noisy.
hypothesis.settings.register_profile("spotyard", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("spotyard")

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE_TIMEOUT_MILLISECONDS = 15_000


TOGETHER = {
    "tests/e2e/": "product",
    "tests/runtime/": "product",
    "tests/agent/test_engine_isolation": "product",
    "tests/agent/test_engine_guest": "product",
    "tests/agent/test_engine_": "agents",
}
"""Groups of tests that start real servers and containers, by how their files begin (the first that fits). Those of one
group share what there is once: an installation, the firewall's table, the volume with guest tools."""


class GroupsOnOneWorker(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist ships no types
    """Each group keeps to one worker of a parallel run; the rest is handed out one test at a time, after the groups."""

    def _split_scope(self, nodeid: str) -> str:
        found = (group for beginning, group in TOGETHER.items() if nodeid.startswith(beginning))
        return next(found, nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupsOnOneWorker:
    """What hands out the tests of a parallel run."""
    return GroupsOnOneWorker(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test of the whole product shows the end of every process's log."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections.append(("logs of the stack", stack.log_tails()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests recorded as their summary, from whatever worker."""
    for report in (*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())):
        for name, text in report.user_properties:
            if name == "summary":
                terminalreporter.write_line(str(text))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """pytest-django's own hook before it makes the database of this process: it is a copy of the run's template."""
    request.getfixturevalue("django_db_modify_db_settings_parallel_suffix")
    template = template_database(server_of(os.environ["DATABASE_URL"]))
    connections.databases["default"]["TEST"]["TEMPLATE"] = template


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The real Docker engine. Missing, it fails the test under CI and skips it elsewhere."""
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        unavailable(f"no Docker engine answers ({error}); run make test, which starts one")
    yield client
    client.close()


@pytest.fixture(scope="session")
def demo_image(engine: docker.DockerClient) -> str:
    """Name of the demo's image, present in the engine: Debian with sshd, rsync, python3 and the like."""
    engine.ping()
    return ensure_image(ROOT / "var" / "cache")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless. Missing, it fails the test under CI and skips it elsewhere.

    For one module: as long as it is there, an event loop is too, and asynchronous views can't be called from tests.
    """
    if not Path(CHROMIUM).exists():
        unavailable(f"{CHROMIUM} is missing; run scripts/bootstrap.sh --tests")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright runs an event loop in this thread, which Django takes for an async view at fault.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a fresh profile. An uncaught error in the page's own scripts fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PAGE_TIMEOUT_MILLISECONDS)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture(scope="session")
def vastai() -> Path:
    """The unmodified public client ``vastai`` 1.9.1, as a program."""
    program = ROOT / "var" / "venvs" / "vastai" / "bin" / "vastai"
    if not program.exists():
        unavailable(f"{program} is missing; run scripts/bootstrap.sh --tests")
    return program


@pytest.fixture(scope="session")
def nat() -> Iterator[Nat]:
    """A host behind a router and a client elsewhere, as network namespaces. Without root and the tools it fails the
    test under CI and skips it elsewhere."""
    if obstacle := Nat.obstacle():
        unavailable(obstacle)
    with Nat() as made:
        yield made


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient) -> Iterator[Stack]:
    """The whole product, started once for all tests that ask for it: see tests/plumbing/stack.py."""
    engine.ping()
    ensure_bundle()
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
