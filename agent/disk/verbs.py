"""The commands for the disk of a stopped instance: simple ones for looking and tidying up, in plain Python.

They run in a process that is locked into that disk (``confine``). Paths are taken from the disk's root.
"""

import getopt
import glob
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO

from agent.disk import changing, finding, listing, reading
from agent.disk.told import Told, WrongUseError

UNKNOWN_COMMAND = 127
WRONG_USE = 2

Verb = Callable[[list[str], Told], None]

VERBS: dict[str, Verb] = {
    "cat": reading.cat,
    "cp": changing.cp,
    "du": listing.du,
    "find": finding.find,
    "head": reading.head,
    "ls": listing.ls,
    "mkdir": changing.mkdir,
    "mv": changing.mv,
    "rm": changing.rm,
    "rmdir": changing.rmdir,
    "tail": reading.tail,
    "touch": changing.touch,
    "wc": reading.wc,
}
_OPERATORS = frozenset("();<>|&")
_PATTERN = frozenset("*?[")


def run(command: str, out: BinaryIO) -> int:
    """Carry out one command; its exit code, as a shell would give it."""
    told = Told(out)
    try:
        words = _words(command)
        verb = VERBS.get(words[0]) if words else None
        if verb is None:
            told.line(only_these(words[0] if words else ""))
            return UNKNOWN_COMMAND
        told.name = words[0]
        verb(_expanded(words[1:]), told)
    except (WrongUseError, getopt.GetoptError) as error:
        told.problem(str(error))
        return WRONG_USE
    except OSError as error:
        told.failed(error)
    except RecursionError:
        told.problem("The folders are nested too deeply for this.")
    except MemoryError:
        told.problem("This takes too much memory.")
    return 1 if told.problems else 0


def only_these(word: str) -> str:
    """What to say to a command that can't be done here."""
    known = ", ".join(sorted(VERBS))
    return f"{word or 'Nothing'}: the instance does not run. Until you start it, only these commands work: {known}."


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise WrongUseError(f"The command can't be read: {str(error).lower()}.") from error
    if any(word and set(word) <= _OPERATORS for word in words):
        raise WrongUseError("On a stopped instance one simple command at a time works, without ; & | < > and brackets.")
    return words


def _expanded(words: Sequence[str]) -> list[str]:
    """With patterns replaced by the names they match, as by a shell; one that matches nothing stays as it is."""
    found: list[str] = []
    for word in words:
        matches = sorted(glob.glob(word)) if set(word) & _PATTERN and not word.startswith("-") else []
        found += matches or [os.path.expanduser(word) if word.startswith("~/") else word]
    return found


def main_output() -> BinaryIO:
    """Where a helper process writes to."""
    return sys.stdout.buffer
