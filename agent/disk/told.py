"""What a command says while it works."""

import os
from typing import BinaryIO


class WrongUseError(Exception):
    """The command can't be carried out as it was asked; says why."""


class Told:
    """Lines of output, and problems beside them; a command goes on after a problem with one of its files."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.name = ""
        self.problems = 0

    def write(self, content: bytes) -> None:
        self._out.write(content)

    def line(self, text: str) -> None:
        """File names may hold any bytes; they come out as they are."""
        self._out.write(os.fsencode(text) + b"\n")

    def problem(self, text: str) -> None:
        self.problems += 1
        self.line(f"{self.name}: {text}" if self.name else text)

    def failed(self, error: OSError) -> None:
        """One file could not be worked on."""
        name = error.filename if isinstance(error.filename, str) else ""
        self.problem(f"{name}: {error.strerror}" if name else str(error.strerror))
