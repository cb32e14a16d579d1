"""rm, rmdir, mkdir, mv, cp, touch."""

import getopt
import os
import shutil
import stat

from agent.disk.told import Told, WrongUseError

MOST_COPIED_BYTES = 256 << 20
"""Of one copy: a stopped instance is for tidying up, and nobody watches how its disk fills."""


def rm(words: list[str], told: Told) -> None:
    """-r -R -f -v -d."""
    found, places = getopt.gnu_getopt(words, "rRfvd", ["recursive", "force", "verbose"])
    options = {option for option, _ in found}
    recursive = bool(options & {"-r", "-R", "--recursive"})
    force = bool(options & {"-f", "--force"})
    if not places and not force:
        raise WrongUseError("Name what is to be removed.")
    for place in places:
        if _is_root(place) or os.path.basename(place.rstrip("/")) in (".", ".."):
            raise WrongUseError(f"{place} is not removed as a whole. Name what is in it.")
        try:
            _remove(place, recursive=recursive, empty="-d" in options)
        except FileNotFoundError as error:
            if not force:
                told.failed(error)
        except OSError as error:
            told.failed(error)
        else:
            if options & {"-v", "--verbose"}:
                told.line(f"removed {place}")


def _remove(place: str, *, recursive: bool, empty: bool) -> None:
    if not stat.S_ISDIR(os.lstat(place).st_mode):
        os.unlink(place)
    elif recursive:
        shutil.rmtree(place)
    elif empty:
        os.rmdir(place)
    else:
        raise WrongUseError(f"{place} is a folder. Remove it with -r.")


def rmdir(words: list[str], told: Told) -> None:
    """Folders that are empty."""
    _, places = getopt.gnu_getopt(words, "")
    for place in _some(places):
        try:
            os.rmdir(place)
        except OSError as error:
            told.failed(error)


def mkdir(words: list[str], told: Told) -> None:
    """-p."""
    options, places = getopt.gnu_getopt(words, "p")
    for place in _some(places):
        try:
            if options:
                os.makedirs(place, exist_ok=True)
            else:
                os.mkdir(place)
        except OSError as error:
            told.failed(error)


def touch(words: list[str], told: Told) -> None:
    """Make empty files, or give those that are there the time of now."""
    _, places = getopt.gnu_getopt(words, "")
    for place in _some(places):
        try:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK, 0o644))
            os.utime(place)
        except OSError as error:
            told.failed(error)


def mv(words: list[str], told: Told) -> None:
    """-f -n -v."""
    found, places = getopt.gnu_getopt(words, "fnv")
    options = {option for option, _ in found}
    for source, target in _pairs(places):
        if "-n" in options and os.path.lexists(target):
            continue
        try:
            _require_room(source, target)
            shutil.move(source, target)
        except (OSError, shutil.Error) as error:
            _tell(error, told)
        else:
            if "-v" in options:
                told.line(f"renamed {source} -> {target}")


def cp(words: list[str], told: Told) -> None:
    """-r -R -a -p -f -v."""
    found, places = getopt.gnu_getopt(words, "rRapfv")
    options = {option for option, _ in found}
    for source, target in _pairs(places):
        try:
            _copy(source, target, recursive=bool(options & {"-r", "-R", "-a"}))
        except (OSError, shutil.Error) as error:
            _tell(error, told)
        else:
            if "-v" in options:
                told.line(f"{source} -> {target}")


def _copy(source: str, target: str, *, recursive: bool) -> None:
    facts = os.stat(source)
    if stat.S_ISDIR(facts.st_mode) and not recursive:
        raise WrongUseError(f"{source} is a folder. Copy it with -r.")
    if not stat.S_ISDIR(facts.st_mode) and not stat.S_ISREG(facts.st_mode):
        raise WrongUseError(f"{source} is neither a file nor a folder.")
    _require_small(source)
    if not stat.S_ISDIR(facts.st_mode):
        shutil.copy2(source, target)
        return
    below = os.path.realpath(target) + "/"
    if below.startswith(os.path.realpath(source).rstrip("/") + "/"):
        raise WrongUseError("A folder can't be copied into itself.")
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=_odd_files)


def _odd_files(folder: str, names: list[str]) -> list[str]:
    """Pipes, sockets and devices are left out: reading them would never end."""
    modes = {name: os.lstat(os.path.join(folder, name)).st_mode for name in names}
    return [n for n, mode in modes.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))]


def _require_room(source: str, target: str) -> None:
    """A move within a file system costs nothing; between a volume and the rest it is a copy."""
    folder = os.path.dirname(os.path.abspath(target))
    if os.lstat(source).st_dev != os.stat(folder).st_dev:
        _require_small(source)


def _require_small(source: str) -> None:
    total = os.lstat(source).st_size
    for folder, _, names in os.walk(source):
        for name in names:
            total += os.lstat(os.path.join(folder, name)).st_size
            _require_less(total)
    _require_less(total)


def _require_less(copied_bytes: int) -> None:
    if copied_bytes > MOST_COPIED_BYTES:
        raise WrongUseError(f"At most {MOST_COPIED_BYTES >> 20} MB are copied on a stopped instance. Start it first.")


def _pairs(places: list[str]) -> list[tuple[str, str]]:
    """What goes where: into the last place where that is a folder."""
    if len(places) < 2:
        raise WrongUseError("Name what, and where to.")
    *sources, target = places
    if os.path.isdir(target):
        inside = [os.path.join(target, os.path.basename(source.rstrip("/"))) for source in sources]
        return list(zip(sources, inside, strict=True))
    if len(sources) > 1:
        raise WrongUseError(f"{target} is not a folder.")
    return [(sources[0], target)]


def _some(places: list[str]) -> list[str]:
    if not places:
        raise WrongUseError("Name at least one place.")
    return places


def _is_root(place: str) -> bool:
    return os.path.realpath(place) == "/"


def _tell(error: OSError, told: Told) -> None:
    if isinstance(error, shutil.Error) and not error.strerror:
        told.problem(str(error))
    else:
        told.failed(error)
