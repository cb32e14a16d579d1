"""The challenge's program as a host's machine runs it: it listens, and answers who asks beside it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlperf import EXIT_UNSUPPORTED
from dlperf.challenge.answers import decode_commitment, decode_revealed
from dlperf.challenge.command import (
    EXIT_FAILED,
    ask_command,
    challenge_command,
    commit_question,
    ready_question,
    reveal_question,
)
from dlperf.challenge.plan import Place
from tests.dlperf.challenges import NONCE, TAG, TINY, Reference, all_places
from tests.dlperf.workload import require_torch, run_program, ship

Ask = subprocess.CompletedProcess[str]


class Talk:
    """The program in a folder of its own, and who asks it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = ship(folder), str(folder / "socket")
        command = challenge_command(TINY, gpus=2, device="cpu", python=sys.executable)
        self.program = subprocess.Popen([*command, "--socket", self.place], cwd=folder, stderr=subprocess.PIPE)

    def ask(self, question: str) -> Ask:
        return run_program(self.folder, [*ask_command(question, sys.executable), self.place])


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    require_torch()
    found = Talk(tmp_path)
    yield found
    found.program.kill()
    found.program.communicate()


def test_it_is_asked_one_question_after_the_other_and_answers_the_same_again(talk: Talk) -> None:
    assert json.loads(talk.ask(ready_question()).stdout)["gpus"] == 2
    too_soon = talk.ask(reveal_question(Place(0, 0, 0, 0)))
    assert (too_soon.returncode, "nothing to show" in too_soon.stderr) == (EXIT_FAILED, True)
    right = Reference(NONCE, TAG, 2)
    told = talk.ask(commit_question(NONCE, TAG))
    assert decode_commitment(told.stdout) == decode_commitment(right.commitment()), told.stderr
    assert talk.ask(commit_question(NONCE, TAG)).stdout == told.stdout
    assert talk.ask(commit_question(b"another", TAG)).returncode == EXIT_FAILED
    for place in all_places(TINY):
        shown = talk.ask(reveal_question(place))
        assert decode_revealed(shown.stdout, place, TINY) == decode_revealed(right.revealed(place), place, TINY)


RUBBISH = ["", "no JSON", "[]", '{"do": "dance"}', '{"do": "commit", "nonce": "zz", "tag": ""}']


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_rubbish_is_refused_in_a_sentence_and_ends_nothing(talk: Talk, rubbish: str) -> None:
    refused = talk.ask(rubbish)
    assert (refused.returncode, "can't be answered" in refused.stderr) == (EXIT_FAILED, True)
    assert talk.ask(ready_question()).returncode == 0


def test_what_can_not_be_computed_ends_the_program_with_the_reason(tmp_path: Path) -> None:
    require_torch()
    command = challenge_command(TINY, gpus=2, device="cuda", python=sys.executable)
    ran = run_program(ship(tmp_path), command)
    assert ran.returncode in (EXIT_FAILED, EXIT_UNSUPPORTED)
    assert "torch" in ran.stderr.splitlines()[-1]
