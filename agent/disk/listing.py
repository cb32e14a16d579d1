"""ls, du."""

import getopt
import os
import stat
import time
from collections.abc import Iterator

from agent.disk.told import Told, WrongUseError

_BLOCK_BYTES = 512
_UNITS = "KMGT"
_STEP = 1024


def ls(words: list[str], told: Told) -> None:
    """-a -A -l -h -1 -d -R -t -S -r."""
    found, places = getopt.gnu_getopt(words, "aAlh1dRtSr")
    options = {option for option, _ in found}
    places = places or ["."]
    folders = [] if "-d" in options else [place for place in places if os.path.isdir(place)]
    files = [place for place in places if place not in folders]
    _rows(files, "", options, told)
    for number, folder in enumerate(folders):
        if len(places) > 1 or "-R" in options:
            told.line(f"{'' if number == 0 and not files else chr(10)}{folder}:")
        _folder(folder, options, told)


def _folder(folder: str, options: set[str], told: Told) -> None:
    try:
        names = os.listdir(folder)
    except OSError as error:
        told.failed(error)
        return
    shown = [name for name in names if options & {"-a", "-A"} or not name.startswith(".")]
    _rows([*([".", ".."] if "-a" in options else []), *shown], folder, options, told)
    if "-R" not in options:
        return
    for name in sorted(shown):
        below = os.path.join(folder, name)
        if os.path.isdir(below) and not os.path.islink(below):
            told.line(f"\n{below}:")
            _folder(below, options, told)


def _rows(names: list[str], folder: str, options: set[str], told: Told) -> None:
    rows: list[tuple[str, os.stat_result]] = []
    for name in names:
        try:
            rows.append((name, os.lstat(os.path.join(folder, name))))
        except OSError as error:
            told.failed(error)
    for name, facts in sorted(rows, key=lambda row: _order(row, options), reverse="-r" in options):
        told.line(_long(name, folder, facts, options) if "-l" in options else name)


def _order(row: tuple[str, os.stat_result], options: set[str]) -> tuple[float, str]:
    name, facts = row
    if "-t" in options:
        return -facts.st_mtime, name
    return (-facts.st_size if "-S" in options else 0), name


def _long(name: str, folder: str, facts: os.stat_result, options: set[str]) -> str:
    size = human(facts.st_size) if "-h" in options else str(facts.st_size)
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(max(facts.st_mtime, 0)))
    target = f" -> {os.readlink(os.path.join(folder, name))}" if stat.S_ISLNK(facts.st_mode) else ""
    owner = f"{facts.st_uid:>5} {facts.st_gid:>5}"
    return f"{stat.filemode(facts.st_mode)} {facts.st_nlink:>3} {owner} {size:>10} {when} {name}{target}"


def du(words: list[str], told: Told) -> None:
    """-s -h -a -c -k -m -b -d N (--max-depth=N): what folders take on the disk."""
    found, places = getopt.gnu_getopt(words, "shackmbd:", ["max-depth="])
    options = dict(found)
    depth = options.get("-d", options.get("--max-depth"))
    if depth is not None and not (depth.isascii() and depth.isdecimal() and len(depth) < 6):
        raise WrongUseError(f"The depth is a number, not “{depth}”.")
    deepest = 0 if "-s" in options else None if depth is None else int(depth)
    total = 0
    seen: set[tuple[int, int]] = set()
    for place in places or ["."]:
        total += _weigh(place, 0, deepest, options, seen, told)
    if "-c" in options:
        told.line(f"{_size(total, options)}\ttotal")


def _weigh(
    place: str,
    level: int,
    deepest: int | None,
    options: dict[str, str],
    seen: set[tuple[int, int]],
    told: Told,
) -> int:
    """Bytes taken by a place and all below it; no link is followed, and a file with several names counts once."""
    try:
        facts = os.lstat(place)
    except OSError as error:
        told.failed(error)
        return 0
    if facts.st_nlink > 1 and not stat.S_ISDIR(facts.st_mode):
        if (facts.st_dev, facts.st_ino) in seen:
            return 0
        seen.add((facts.st_dev, facts.st_ino))
    taken = facts.st_size if "-b" in options else facts.st_blocks * _BLOCK_BYTES
    is_folder = stat.S_ISDIR(facts.st_mode)
    for below in _below(place, told) if is_folder else ():
        taken += _weigh(below, level + 1, deepest, options, seen, told)
    shown = is_folder or level == 0 or "-a" in options
    if shown and (deepest is None or level <= deepest):
        told.line(f"{_size(taken, options)}\t{place}")
    return taken


def _below(place: str, told: Told) -> Iterator[str]:
    try:
        names = sorted(os.listdir(place))
    except OSError as error:
        told.failed(error)
        return
    for name in names:
        yield os.path.join(place, name)


def _size(taken: int, options: dict[str, str]) -> str:
    if "-h" in options:
        return human(taken)
    if "-b" in options:
        return str(taken)
    unit = _STEP * _STEP if "-m" in options else _STEP
    return str(-(-taken // unit))


def human(size: int) -> str:
    """ "1.5M": with a unit and at most one place, rounded up as ls and du do."""
    if size < _STEP:
        return str(size)
    power = 1
    while size >= _STEP ** (power + 1) * 0.9995 and power < len(_UNITS):
        power += 1
    scaled = size / _STEP**power
    return f"{scaled:.1f}{_UNITS[power - 1]}" if scaled < 10 else f"{-(-size // _STEP**power)}{_UNITS[power - 1]}"
