"""cat, head, tail, wc."""

import getopt
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterator
from typing import BinaryIO

from agent.disk.told import Told, WrongUseError

_BLOCK_BYTES = 1 << 16
_USUAL_LINES = 10
_MOST_LINES = 100_000
_LONGEST_LINE_BYTES = 1 << 20
"""A longer one is taken in pieces, so that none fills the memory."""


def cat(words: list[str], told: Told) -> None:
    """Files, one after the other."""
    _, files = getopt.gnu_getopt(words, "")

    def copy(_name: str, source: BinaryIO) -> None:
        for block in _blocks(source):
            told.write(block)

    _for_each(files, told, copy)


def head(words: list[str], told: Told) -> None:
    """The first lines (-n) or bytes (-c)."""
    lines, most_bytes, files = _part(words)

    def copy(name: str, source: BinaryIO) -> None:
        _title(files, name, told)
        if most_bytes is not None:
            told.write(source.read(most_bytes))
            return
        for _, line in zip(range(lines), _lines(source), strict=False):
            told.write(line)

    _for_each(files, told, copy)


def tail(words: list[str], told: Told) -> None:
    """The last lines (-n) or bytes (-c)."""
    lines, most_bytes, files = _part(words)

    def copy(name: str, source: BinaryIO) -> None:
        _title(files, name, told)
        if most_bytes is not None:
            size = source.seek(0, os.SEEK_END)
            source.seek(max(0, size - most_bytes))
            told.write(source.read(most_bytes))
            return
        for line in deque(_lines(source), maxlen=lines):
            told.write(line)

    _for_each(files, told, copy)


def wc(words: list[str], told: Told) -> None:
    """Lines (-l) and bytes (-c) of files; both unless told."""
    options, files = getopt.gnu_getopt(words, "lc")
    chosen = {option for option, _ in options} or {"-l", "-c"}

    def count(name: str, source: BinaryIO) -> None:
        lines = size = 0
        for block in _blocks(source):
            lines += block.count(b"\n")
            size += len(block)
        counts = [str(lines)] * ("-l" in chosen) + [str(size)] * ("-c" in chosen)
        told.line(f"{' '.join(counts)} {name}")

    _for_each(files, told, count)


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    while block := source.read(_BLOCK_BYTES):
        yield block


def _lines(source: BinaryIO) -> Iterator[bytes]:
    while line := source.readline(_LONGEST_LINE_BYTES):
        yield line


def _for_each(files: list[str], told: Told, work: Callable[[str, BinaryIO], None]) -> None:
    """An error with one file is told, and ends the work on that one only. Pipes and devices are not read."""
    if not files:
        raise WrongUseError("Name a file.")
    for name in files:
        try:
            with os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb") as source:
                if stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                    work(name, source)
                else:
                    told.problem(f"{name}: Not a file")
        except OSError as error:
            told.failed(error)


def _part(words: list[str]) -> tuple[int, int | None, list[str]]:
    plain = [f"-n{word[1:]}" if re.fullmatch(r"-[0-9]+", word) else word for word in words]
    options, files = getopt.gnu_getopt(plain, "n:c:", ["lines=", "bytes="])
    lines, most_bytes = _USUAL_LINES, None
    for option, value in options:
        if not value.isascii() or not value.isdecimal() or len(value) > 12:
            raise WrongUseError(f"{option} needs a number, not “{value}”.")
        if option in ("-n", "--lines"):
            lines = min(int(value), _MOST_LINES)
        else:
            most_bytes = min(int(value), _MOST_LINES * 100)
    return lines, most_bytes, files


def _title(files: list[str], name: str, told: Told) -> None:
    if len(files) > 1:
        told.line(f"==> {name} <==")
