"""The installer gives the token that was on the command line another secret, whatever is lost on the way."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.installer import __main__ as installer
from agent.installer import tokens
from agent.installer.checks import Check
from agent.installer.layout import Layout
from agent.installer.system import InstallError


class Site:
    """Knows tokens as the marketplace does; ``loses`` so many answers, and says ``status`` where that is set."""

    def __init__(self) -> None:
        self.good, self.loses, self.status, self.url = {"syi_given"}, 0, 0, ""
        self.asked: list[dict[str, str]] = []

    def answer(self, told: dict[str, str]) -> tuple[int, dict[str, str]]:
        self.asked.append(told)
        if self.status:
            return self.status, {}
        if not self.good & {told["token"], told["replacement"]}:
            return 401, {"error": "bad_token", "msg": "This install token is not valid."}
        self.good = {told["replacement"]}
        return 200, {}


@pytest.fixture
def site() -> Iterator[Site]:
    known = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            code, body = known.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if known.loses:
                known.loses -= 1
                return
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        known.url = f"http://127.0.0.1:{server.server_port}"
        yield known
        server.shutdown()


def test_a_token_has_another_secret_afterwards_and_the_same_one_each_time(site: Site, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first = tokens.changed(site.url, layout, "syi_given")
    assert site.good == {first}
    assert first != "syi_given"
    assert tokens.changed(site.url, layout, "syi_given") == first, "the same line is run again"
    assert layout.token_note.stat().st_mode & 0o777 == 0o600
    assert "syi_given" not in layout.token_note.read_text()
    tokens.forget(layout)
    assert list(layout.etc.iterdir()) == []


def test_an_answer_that_is_lost_loses_no_token(site: Site, tmp_path: Path) -> None:
    site.loses = 1
    with pytest.raises(InstallError, match=r"can't be reached.* Run this again\."):
        tokens.changed(site.url, Layout(tmp_path), "syi_given")
    assert {tokens.changed(site.url, Layout(tmp_path), "syi_given")} == site.good


def test_another_token_is_not_taken_for_the_one_before(site: Site, tmp_path: Path) -> None:
    first = tokens.changed(site.url, Layout(tmp_path), "syi_given")
    site.good.add("syi_second")
    assert tokens.changed(site.url, Layout(tmp_path), "syi_second") != first


def test_what_is_refused_is_said(site: Site, tmp_path: Path) -> None:
    with pytest.raises(tokens.TokenRefusedError, match=r"refused this machine: This install token is not valid\."):
        tokens.changed(site.url, Layout(tmp_path), "syi_wrong")
    site.status = 503
    with pytest.raises(InstallError, match="answered with status 503"):
        tokens.changed(site.url, Layout(tmp_path), "syi_given")


def test_a_note_that_makes_no_sense_is_as_none(site: Site, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.etc.mkdir(parents=True)
    for nonsense in ("[]", "{", '{"of": 1}'):
        layout.token_note.write_text(nonsense)
        site.good = {"syi_given"}
        assert {tokens.changed(site.url, layout, "syi_given")} == site.good
        tokens.forget(layout)


class Installer:
    """On a machine with this root, where the checks find what is set here; notes with which token it goes on."""

    def __init__(self, site: Site, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.site, self.layout = site, Layout(root)
        self.problem, self.began_with = "", [""]
        self.looked_with: set[str] = set()
        patch.setattr(installer, "Layout", lambda: self.layout)
        patch.setattr(installer, "look", self._look)
        patch.setattr(installer, "carry_out", lambda setup, **_: self.began_with.append(setup.token))
        patch.setattr(installer, "_finish", lambda _setup: 0)

    def _look(self, _wishes: object) -> list[Check]:
        self.looked_with = set(self.site.good)
        return [Check("GPUs", "none", self.problem)]

    def run(self, token: str = "", *words: str) -> int:
        file = self.layout.root / "given"
        file.write_text(token)
        options = [f"--site={self.site.url}", *([f"--token-file={file}"] if token else []), *words]
        return installer.main(["install", *options])


@pytest.fixture
def installing(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    return Installer(site, tmp_path, monkeypatch)


def test_a_machine_that_will_not_do_leaves_no_token_on_its_command_line(
    installing: Installer, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    installing.problem = "Put one in."
    assert installing.run("syi_given") == 1
    (secret,) = site.good
    assert installing.looked_with == {secret} != {"syi_given"}, "before anything else"
    assert "run this again, without the token" in capsys.readouterr().out
    installing.problem = ""
    assert installing.run() == 0
    assert installing.began_with[-1] == secret


def test_a_dry_run_leaves_the_token_and_the_machine_alone(installing: Installer, site: Site) -> None:
    assert installing.run("syi_given", "--dry-run") == 0
    assert (site.asked, installing.layout.etc.exists()) == ([], False)


def test_a_marketplace_that_is_away_is_found_by_the_checks(
    installing: Installer, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.status, installing.problem = 503, "Check the name server."
    assert installing.run("syi_given") == 1
    assert "Check the name server." in capsys.readouterr().out
    installing.problem = ""
    assert installing.run("syi_given") == 1
    assert "answered with status 503. Run this again." in capsys.readouterr().err
    assert installing.began_with == [""]


def test_what_was_kept_and_is_no_good_any_more_is_said_and_forgotten(
    installing: Installer, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    installing.problem = "Put one in."
    installing.run("syi_given")
    site.good = set()
    assert installing.run() == 1
    assert "This install token is not valid." in capsys.readouterr().err
    assert installing.run() == 1
    assert "give an install token from" in capsys.readouterr().err
