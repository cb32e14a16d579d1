"""From what a container wrote to what a person can read. Containers write anything: it is shown, never obeyed."""

import re

LONGEST_LINE_CHARS = 4000

_ESCAPES = re.compile(
    "\x1b(?:"
    r"\[[0-?]*[ -/]*[@-~]"  # colours, movements of the cursor
    "|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)"  # titles, links
    "|[PX^_][^\x1b]*\x1b\\\\"
    "|[ -/]*[0-~]"
    ")?"
)
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def readable(content: bytes) -> str:
    """The lines without terminal codes and control characters. Of what a line was rewritten to (as progress bars do),
    the last is shown; of a very long one the beginning."""
    text = _ESCAPES.sub("", content.decode(errors="replace"))
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    shown = line.rstrip("\r").rpartition("\r")[2]
    clean = _INVISIBLE.sub("", shown)
    if len(clean) <= LONGEST_LINE_CHARS:
        return clean
    return f"{clean[:LONGEST_LINE_CHARS]}… [{len(clean) - LONGEST_LINE_CHARS} more characters]"


def chosen(text: str, *, containing: str = "", last: int | None = None) -> str:
    """Of the lines that hold the text ``containing``, in whatever case, the last so many."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    wanted = containing.casefold()
    found = [line for line in lines if wanted in line.casefold()] if wanted else lines
    if last is not None:
        found = found[-last:] if last > 0 else []
    return "".join(f"{line}\n" for line in found)


def complete_part(content: bytes, most_pending_bytes: int = 16_384) -> bytes:
    """The content up to the end of its last whole line; all of it where what is left would be too long to wait for."""
    end = content.rfind(b"\n") + 1
    return content if len(content) - end > most_pending_bytes else content[:end]
