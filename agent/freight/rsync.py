"""What rsync says, in the words of whoever asked for a copy: pure."""

import re
from dataclasses import dataclass
from typing import Literal

_PROGRESS = re.compile(r"([\d,]+)\s+(\d{1,3})%\s+([\d.]+)([kMGT]?)B/s")
_FACTORS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_STOPPED_CODES = (137, 143)
_CUT_OFF_CODES = (5, 10, 12, 30, 35, 255)
"""The connection could not be made, or broke: what has arrived is kept, and the next try goes on from there."""
_VANISHED_CODE = 24
_SENDER_FAILED = "rsync: [sender]"
"""Said by the source's rsync of what it could not send; the target's may end as if all were well."""


@dataclass(frozen=True)
class Progress:
    """How far a copy has come; ``share`` of all that there is to do, 0..1."""

    done_bytes: int
    share: float
    bytes_per_second: float

    def __str__(self) -> str:
        return f"{amount(self.done_bytes)} copied, {amount(self.bytes_per_second)}/s"


@dataclass(frozen=True)
class Verdict:
    """What has come of one try."""

    state: Literal["done", "again", "failed"]
    reason: str = ""
    message: str = ""


def amount(size: float) -> str:
    """Bytes for people: "1.3 GB"."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def progress(text: str) -> Progress | None:
    """The last progress that is told in what rsync wrote; None where there is none."""
    found = _PROGRESS.findall(text)
    if not found:
        return None
    done, percent, number, unit = found[-1]
    return Progress(int(done.replace(",", "")), min(int(percent), 100) / 100, float(number) * _FACTORS[unit])


def verdict(exit_code: int | None, told: str, ssh_told: str) -> Verdict:
    """What a try means that ended with this code, from what rsync and ssh had to say about it."""
    words = f"{told}\n{ssh_told}"
    if exit_code == 0 and _SENDER_FAILED not in ssh_told:
        return Verdict("done")
    if exit_code == _VANISHED_CODE:
        return Verdict("done", message="Some files were deleted on the source while they were copied.")
    if "No space left on device" in told or "Disk quota exceeded" in told:
        return Verdict("failed", "disk_full", "The target's disk is full. What has arrived until then is kept.")
    if re.search(r"(?:link_stat|change_dir).* failed: No such file or directory", words):
        return Verdict("failed", "no_such_path", "There is nothing at this path of the source.")
    if exit_code == 127 and "rsync" not in ssh_told:
        return Verdict("failed", "no_rsync", "The target instance has no rsync, and its host has none to lend to it.")
    if exit_code in _STOPPED_CODES:
        return Verdict("failed", "target_stopped", "The target instance was stopped, or the copy was killed in it.")
    if exit_code in _CUT_OFF_CODES or exit_code is None:
        return Verdict("again", _cut_off_reason(words), _last_line(ssh_told) or _last_line(told))
    why = _last_line(ssh_told if exit_code == 0 else told)
    return Verdict("failed", "copy_failed", why or f"rsync ended with code {exit_code}.")


def _cut_off_reason(words: str) -> str:
    return "refused" if "Permission denied (" in words else "cut_off"


def _last_line(text: str) -> str:
    """The last thing said that is about the copy and no progress."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    telling = [line for line in lines if line and not _PROGRESS.search(line)]
    better = [line for line in telling if not line.startswith("rsync error:")]
    return (better or telling or [""])[-1][:300]
