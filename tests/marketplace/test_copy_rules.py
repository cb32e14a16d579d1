"""What opens the source to one copy alone, and when a copy ends."""

import os
import shlex
import subprocess
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosting.domain import jobs
from marketplace.domain import copies
from marketplace.domain import instance_states as instances

FLAGS = "-lHogDtpre.LsfxCIvu"


def command_of(line: str) -> str:
    """The forced command, as sshd reads it."""
    assert line.startswith('restrict,command="')
    return line.split('"')[1].replace('\\"', '"')


def answer(tmp_path: Path, path: str, asked: str) -> list[str]:
    """The words that rsync would be called with, when a client asks for this."""
    program = tmp_path / "rsync"
    program.write_text('#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done\n')
    program.chmod(0o755)
    command = command_of(copies.key_line("ssh-ed25519 AAAA", path, 7))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SSH_ORIGINAL_COMMAND": asked}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, check=False)
    return [word.decode() for word in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("path", ["/root/data", "/root/it's here/", "/a b/$HOME/`id`/*", "/\\", "/é;rm -rf"])
def test_whatever_is_asked_the_path_is_sent(tmp_path: Path, path: str) -> None:
    words = answer(tmp_path, path, f"rsync --server --sender {FLAGS} --timeout=9 . /etc/shadow")
    assert words == ["--server", "--sender", FLAGS, "--numeric-ids", "--timeout=120", ".", path]


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "sh",
        "rsync --server . /root",
        f"rsync --server --sender --remove-source-files {FLAGS} . /",
        "rsync --server --sender -se.LsfxCIvu . /",
        f"rsync --server --sender {FLAGS}$(id) . /",
        "rsync --server --sender --files-from=/etc/passwd . /",
        "scp -f /etc/shadow",
    ],
)
def test_nothing_else_is_done(tmp_path: Path, asked: str) -> None:
    assert answer(tmp_path, "/root/data", asked) == []


@given(st.text(min_size=1, max_size=60))
def test_a_path_that_is_taken_is_one_word_for_the_shell(text: str) -> None:
    path = f"/{text}"
    if copies.path_problem(path):
        return
    script = shlex.split(command_of(copies.key_line("ssh-ed25519 AAAA", path, 1)))[-1]
    assert shlex.split(script)[-1] == path


@pytest.mark.parametrize("path", ["", "data", "~/data", "/a\nb", '/a"b', "/" + "x" * 2000])
def test_paths_that_are_refused(path: str) -> None:
    assert copies.path_problem(path)


def test_a_copy_ends_when_its_job_does_or_an_instance_stops() -> None:
    for source, target, job in product(instances.STATES, instances.STATES, jobs.STATES):
        ending = copies.ending(source_state=source, target_state=target, job_state=job, job_reason="", job_message="")
        alive = {instances.RUNNING, instances.LOADING, instances.SCHEDULING}
        if job == jobs.DONE:
            assert ending is not None
            assert ending.state == copies.DONE
        elif {source, target} <= alive and job in jobs.OPEN:
            assert ending is None
        else:
            assert ending is not None
            assert ending.state == copies.FAILED
            assert ending.message
