"""What install.sh does before the bundle is there. Programs are fakes in PATH, in which there is little else."""

import fcntl
import os
import pty
import re
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.installer.__main__ import _parser
from hosting.gateways.agent_bundle import AgentBundle
from hosting.installer import rendered

Script = Callable[..., tuple[int, str]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Runs it with these arguments, at a terminal: exit status, and what it wrote."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("bash", "cat"):
        found = subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=True)
        (folder / tool).symlink_to(found.stdout.strip())
    for program in ("curl", "python3", "mktemp", "apt-get"):
        (folder / program).write_text(f'#!/bin/bash\necho "{program} $*" >>{tmp_path}/calls\nexit 1\n')
        (folder / program).chmod(0o755)
    file = tmp_path / "install.sh"
    file.write_text(rendered("http://site.test", AgentBundle(version="0.1.0+a", digest="0" * 64, content=b"")).text)

    def run(*arguments: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        command = [str(folder / "bash"), str(file), *arguments]
        done = subprocess.run(
            command, stdin=theirs, capture_output=True, env={"PATH": str(folder)}, preexec_fn=take_terminal, timeout=30
        )
        os.close(ours)
        os.close(theirs)
        return done.returncode, (done.stdout + done.stderr).decode()

    return run


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_fetches_nothing_and_asks_for_nothing(script: Script, tmp_path: Path, word: str) -> None:
    code, told = script("--simulate", "2x RTX 3090", word)
    assert code == 0, told
    assert "curl -fsSL http://site.test/install.sh | sudo bash -s -- TOKEN" in told
    assert not (tmp_path / "calls").exists()


def test_help_names_every_option(script: Script) -> None:
    told = script("--help")[1]
    actions = [
        action for action in _parser()._actions if action.option_strings and "==SUPPRESS==" not in str(action.help)
    ]
    options = {action.option_strings[-1] for action in actions} | {"--token-file"}
    assert set(re.findall(r"^  (--[a-z-]+)", told, re.MULTILINE)) == options
