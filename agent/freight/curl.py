"""What curl is told, and what it says, in the words of whoever asked for a copy: pure."""

import re
from dataclasses import dataclass
from typing import Literal

_METER = re.compile(
    r"(\d{1,3})\s+([\d.]+[kMGTP]?)\s+\d{1,3}\s+([\d.]+[kMGTP]?)\s+\d{1,3}\s+([\d.]+[kMGTP]?)"
    r"\s+\S+\s+\S+\s+\S+\s+\S+\s+\S+\s+([\d.]+[kMGTP]?)"
)
_CUT_OFF_CODES = (5, 6, 7, 16, 18, 28, 35, 52, 55, 56, 92)
_BAD_RANGE_CODES = (33, 36)
_HTTP_ERROR = re.compile(r"returned error: (\d{3})")
_PASSING_STATUSES = ("408", "425", "429", "500", "502", "503", "504")
_SENTENCES = {
    "401": "The server refuses: it wants a login, or the keys are not right.",
    "403": "The server refuses access: the link may have expired, or the keys may not be allowed this.",
    "404": "There is nothing at this address.",
}


@dataclass(frozen=True)
class Meter:
    """The last line of curl's progress meter; amounts are as curl writes them, "461M"."""

    share: float
    total: str
    done: str
    speed: str

    def __str__(self) -> str:
        return f"{self.done} of {self.total}, {self.speed}/s"


@dataclass(frozen=True)
class Verdict:
    """What has come of one try. ``anew``: what is there of the file is of no use."""

    state: Literal["done", "again", "anew", "failed"]
    reason: str = ""
    message: str = ""


def config(settings: list[tuple[str, str]]) -> bytes:
    """A configuration file for curl, with any text as a value."""
    lines = [f'{name} = "{_escaped(value)}"\n' if value else f"{name}\n" for name, value in settings]
    return "".join(lines).encode()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def meter(text: str, *, is_upload: bool) -> Meter | None:
    """How far it is; None where the meter has not begun to tell."""
    found = _METER.findall(text)
    if not found:
        return None
    percent, total, received, sent, speed = found[-1]
    return Meter(min(int(percent), 100) / 100, total, sent if is_upload else received, speed)


def verdict(exit_code: int | None, told: str) -> Verdict:
    """What a try means that ended with this code, from what curl had to say about it."""
    if exit_code == 0:
        return Verdict("done")
    if exit_code in _BAD_RANGE_CODES or (exit_code == 22 and "error: 416" in told):
        return Verdict("anew", "no_ranges", "The server can't go on in the middle of a file.")
    if "No space left on device" in told or exit_code == 23:
        return Verdict(
            "failed", "disk_full", "The file could not be written: the disk is full, or the path is no file."
        )
    if exit_code == 26:
        return Verdict("failed", "no_such_path", "There is no file at this path that could be read.")
    if exit_code == 127:
        return Verdict("failed", "no_curl", "The instance has no curl, and its host has none to lend to it.")
    status = _HTTP_ERROR.search(told)
    if exit_code == 22 and status is not None and status[1] not in _PASSING_STATUSES:
        sentence = _SENTENCES.get(status[1], f"The server answered with status {status[1]}.")
        return Verdict("failed", f"http_{status[1]}", sentence)
    if exit_code in _CUT_OFF_CODES or exit_code == 22 or exit_code is None:
        return Verdict("again", "cut_off", _last_line(told))
    if exit_code in (137, 143):
        return Verdict("failed", "stopped", "The instance was stopped, or the copy was killed in it.")
    return Verdict("failed", "copy_failed", _last_line(told) or f"curl ended with code {exit_code}.")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    telling = [line.removeprefix("curl: ") for line in lines if line.startswith("curl: ")]
    return (telling or [""])[-1][:300]
