"""find."""

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator

from agent.disk.told import Told, WrongUseError

_UNITS = {"c": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_KINDS = {"f": stat.S_ISREG, "d": stat.S_ISDIR, "l": stat.S_ISLNK}
_MOST_DEPTH = 10_000

Test = Callable[[str, os.stat_result], bool]


def find(words: list[str], told: Told) -> None:
    """PLACES -name P -iname P -type f|d|l -size [+-]N[ckMG] -empty -maxdepth N -mindepth N."""
    places = []
    while words and not words[0].startswith("-"):
        places.append(words.pop(0))
    tests, depths = _conditions(words)
    for place in places or ["."]:
        for level, path, facts in _walk(place, 0, depths[1], told):
            if level >= depths[0] and all(test(path, facts) for test in tests):
                told.line(path)


def _walk(place: str, level: int, deepest: int, told: Told) -> Iterator[tuple[int, str, os.stat_result]]:
    try:
        facts = os.lstat(place)
        yield level, place, facts
        if not stat.S_ISDIR(facts.st_mode) or level >= deepest:
            return
        names = sorted(os.listdir(place))
    except OSError as error:
        told.failed(error)
        return
    for name in names:
        yield from _walk(os.path.join(place, name), level + 1, deepest, told)


def _conditions(words: list[str]) -> tuple[list[Test], tuple[int, int]]:
    tests: list[Test] = []
    least, most = 0, _MOST_DEPTH
    left = list(words)
    while left:
        option = left.pop(0)
        if option == "-empty":
            tests.append(_is_empty)
            continue
        if option == "-print":
            continue
        if not left:
            raise WrongUseError(f"{option} needs a value." if option in _NEED_VALUE else f"{option} is not known here.")
        value = left.pop(0)
        if option == "-mindepth":
            least = _number(value)
        elif option == "-maxdepth":
            most = _number(value)
        else:
            tests.append(_test(option, value))
    return tests, (least, most)


_NEED_VALUE = ("-name", "-iname", "-type", "-size", "-mindepth", "-maxdepth")


def _test(option: str, value: str) -> Test:
    if option == "-name":
        return lambda path, _: fnmatch.fnmatchcase(_last(path), value)
    if option == "-iname":
        return lambda path, _: fnmatch.fnmatchcase(_last(path).lower(), value.lower())
    if option == "-type" and value in _KINDS:
        return lambda _, facts: _KINDS[value](facts.st_mode)
    if option == "-size":
        return _of_size(value)
    raise WrongUseError(f"{option} {value} is not known here.")


def _of_size(value: str) -> Test:
    match = re.fullmatch(r"([+-]?)([0-9]{1,12})([ckMG])", value)
    if match is None:
        raise WrongUseError("-size needs a number with a unit, like +100M.")
    sign, number, unit = match[1], int(match[2]), _UNITS[match[3]]

    def fits(_: str, facts: os.stat_result) -> bool:
        units = -(-facts.st_size // unit)
        return units > number if sign == "+" else units < number if sign == "-" else units == number

    return fits


def _is_empty(path: str, facts: os.stat_result) -> bool:
    if stat.S_ISDIR(facts.st_mode):
        return not os.listdir(path)
    return stat.S_ISREG(facts.st_mode) and facts.st_size == 0


def _last(path: str) -> str:
    return os.path.basename(path.rstrip("/")) or path


def _number(value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 6:
        raise WrongUseError(f"A depth is a number, not “{value}”.")
    return min(int(value), _MOST_DEPTH)
