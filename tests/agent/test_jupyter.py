"""What a container is given for Jupyter, and how the agent learns what has become of it."""

import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.guest import find_pip
from agent.guest.files import boot_environment, first_files
from agent.guest.jupyter import endpoint, jupyter_answers, parse, settings_text
from agent.guest.jupyter_watch import JupyterWatch
from agent.protocol import JupyterReport, JupyterSpec, PortMapping
from scripts.services.launching import free_port
from tests.agent.fakes import FakeEngine, Life, changed, task

LAB = JupyterSpec(lab=True, directory="/work")
READY = JupyterReport(state="ready")


def test_the_settings_are_two_lines() -> None:
    assert settings_text(LAB) == "lab\n/work\n"
    assert settings_text(JupyterSpec(lab=False, directory="/a b")) == "notebook\n/a b\n"


def test_files_travel_in_the_environment_or_in_the_archive_but_not_without_jupyter() -> None:
    carried = boot_environment("", [], LAB)
    with tarfile.open(fileobj=io.BytesIO(first_files("", [], LAB))) as archive:
        names = archive.getnames()
    assert carried["SPOTYARD_JUPYTER"] == settings_text(LAB)
    assert {".spotyard/jupyter", ".spotyard/jupyter.sh", ".spotyard/find_pip.py"} <= set(names)
    assert not any("JUPYTER" in name or "PIP" in name for name in boot_environment("", []))
    with tarfile.open(fileobj=io.BytesIO(first_files("", []))) as archive:
        assert not any("jupyter" in name or "pip" in name for name in archive.getnames())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", JupyterReport(state="starting")),
        (b"starting\n/usr/bin/jupyter-lab in /\n", JupyterReport(state="starting")),
        (b"ready\n", JupyterReport(state="starting")),
        (b"installing\npip works\n", JupyterReport(state="installing", message="pip works")),
        (b"failed\none\n\x1b[31mtwo\x00\n", JupyterReport(state="failed", message="one\n[31mtwo")),
        (b"\xff\xfe", JupyterReport(state="starting")),
    ],
)
def test_what_the_script_wrote_down(content: bytes, expected: JupyterReport) -> None:
    assert parse({"jupyter": content}) == expected


@given(st.binary(max_size=5000))
def test_whatever_a_guest_writes_is_a_short_text(content: bytes) -> None:
    report = parse({"jupyter": b"failed\n" + content})
    assert len(report.message) <= 2000
    assert all(character.isprintable() or character == "\n" for character in report.message)


def test_it_is_reached_at_its_published_port() -> None:
    spec = task(ports=[PortMapping(container_port=8080, host_port=23055)]).spec
    assert endpoint(spec, "10.0.0.2") == ("127.0.0.1", 23055)
    assert endpoint(task(ports=[]).spec, "10.0.0.2") == ("10.0.0.2", 8080)


@pytest.mark.parametrize(("status", "answers"), [(200, True), (404, False), (500, False)])
def test_it_answers_when_it_says_its_version(status: int, answers: bool) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert jupyter_answers("127.0.0.1", server.server_port) is answers
    assert asked == ["/api"]


def test_nobody_there_is_no_answer() -> None:
    assert not jupyter_answers("127.0.0.1", free_port())


class Scene:
    """One task on a fake engine, its Jupyter as the test says, and a watch with a clock of its own."""

    def __init__(self, folder: Path, **spec: object) -> None:
        self.engine = FakeEngine()
        self.life = Life(self.engine, folder)
        self.now, self.answers, self.asked, self.news = 0.0, False, 0, 0
        self.watch = JupyterWatch(self.engine, clock=lambda: self.now, probe=self._probe)
        self.watch.watch(self.life.reconciler, self._on_news)
        self.wish = changed(task(jupyter=LAB), **spec)
        self.life.want(self.wish)

    def _probe(self, _address: str, _port: int) -> bool:
        self.asked += 1
        return self.answers

    def _on_news(self) -> None:
        self.news += 1

    def after(self, seconds: float) -> JupyterReport | None:
        """What is told of it after a look so much later."""
        self.now += seconds
        self.watch.look()
        (observed,) = self.life.reconciler.observed()
        return observed.jupyter


def test_it_is_asked_until_it_answers_and_then_less_often(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.engine.told = {"jupyter": b"installing\npip works\n"}
    assert scene.after(0) == JupyterReport(state="installing", message="pip works")
    assert (scene.asked, scene.news) == (1, 1)
    assert scene.after(0.5) == JupyterReport(state="installing", message="pip works")
    assert scene.asked == 1
    scene.answers = True
    assert scene.after(0.5) == READY
    scene.after(9)
    assert (scene.asked, scene.news) == (2, 2)
    scene.after(1)
    assert (scene.asked, scene.news) == (3, 2)


def test_one_that_is_busy_is_not_given_up_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.answers = True
    assert scene.after(0) == READY
    scene.answers = False
    scene.engine.told = {"jupyter": b"failed\nexit code 1\n"}
    assert [scene.after(10), scene.after(1)] == [READY, READY]
    assert scene.after(1) == JupyterReport(state="failed", message="exit code 1")
    scene.answers = True
    assert scene.after(1) == READY


def test_the_next_run_begins_anew(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.answers = True
    assert scene.after(0) == READY
    scene.life.want(changed(scene.wish, state="stopped"))
    assert scene.after(0) is None
    scene.answers = False
    scene.life.want(changed(scene.wish, run_generation=2))
    assert scene.after(0) == JupyterReport(state="starting")


def test_who_did_not_ask_for_it_is_left_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path, jupyter=None)
    assert scene.after(0) is None
    assert (scene.asked, scene.engine.reads) == (0, 0)


PAGE = """
<a href="https://files.example/pip-23.0.1-py3-none-any.whl#sha256=aa" data-requires-python="&gt;=3.7">pip</a>
<a href="../../p/pip-25.1-py3-none-any.whl#sha256=bb" data-requires-python="&gt;=3.9">pip</a>
<a href="pip-26.0-py3-none-any.whl" data-requires-python="&gt;=3.9" data-yanked="broken">pip</a>
<a href="pip-9.0-py2.py3-none-any.whl">pip</a> <a href="pip-27.0b1-py3-none-any.whl">pip</a>
<a href="pip-26.1.tar.gz">pip</a>
"""


@pytest.mark.parametrize(
    ("minor", "link"),
    [
        (8, "https://files.example/pip-23.0.1-py3-none-any.whl#sha256=aa"),
        (11, "../../p/pip-25.1-py3-none-any.whl#sha256=bb"),
        (6, None),
    ],
)
def test_the_newest_pip_that_runs_there_is_chosen(minor: int, link: str | None) -> None:
    assert find_pip.newest_link(PAGE, minor) == link


def test_a_wheel_on_the_disk_goes_first(tmp_path: Path) -> None:
    assert find_pip.local_wheel([str(tmp_path), "/nowhere"]) is None
    for name in ("pip-9.0.1-py3-none-any.whl", "pip-25.1-py3-none-any.whl", "pip-tools-1.0-py3-none-any.whl"):
        (tmp_path / name).touch()
    assert find_pip.local_wheel([str(tmp_path)]) == tmp_path / "pip-25.1-py3-none-any.whl"
