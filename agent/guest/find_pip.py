"""Gets a wheel of pip for a Python that has no pip, and prints its path.

Runs in a container, with the image's own Python, which may be as old as 3.8: nothing but the standard library, and
nothing newer. Takes the folder to put it in. Wheels in the folders that PIP_FIND_LINKS names go first, then those of
PIP_INDEX_URL, by default PyPI's.
"""

from __future__ import annotations

import html
import os
import re
import ssl
import sys
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import urlopen

PYPI = "https://pypi.org/simple"
TIMEOUT_SECONDS = 60
_WHEEL = re.compile(r"pip-([0-9]+(?:\.[0-9]+)+)-py3-none-any\.whl")
_LINK = re.compile(r"<a\s([^>]*)>", re.IGNORECASE)
_ADDRESS = re.compile(r'href="([^"]+)"')
_PYTHON_NEEDED = re.compile(r'data-requires-python="[^"]*>=\s*3\.([0-9]+)')


def version(name: str) -> tuple[int, ...] | None:
    """The version in a wheel's file name or address, as numbers; None where it is no wheel of a released pip."""
    found = _WHEEL.search(name)
    return tuple(int(part) for part in found.group(1).split(".")) if found else None


def local_wheel(folders: list[str]) -> Path | None:
    """The newest wheel in these folders; None where there is none."""
    paths = [path for folder in folders if Path(folder).is_dir() for path in Path(folder).iterdir()]
    known = {number: path for path in paths for number in [version(path.name)] if number is not None}
    return known[max(known)] if known else None


def newest_link(page: str, minor: int) -> str | None:
    """Address of the newest wheel on an index's page that runs on Python 3.``minor``; None where there is none."""
    found: dict[tuple[int, ...], str] = {}
    for attributes in _LINK.findall(page):
        text = html.unescape(attributes)
        address = _ADDRESS.search(text)
        needed = _PYTHON_NEEDED.search(text)
        fits = needed is None or int(needed.group(1)) <= minor
        number = version(address.group(1)) if address else None
        if address and number and fits and "data-yanked" not in text:
            found[number] = address.group(1)
    return found[max(found)] if found else None


def fetched_wheel(index: str, place: Path) -> Path:
    """Path of a wheel from the index, fetched into the place. Raises OSError, ValueError."""
    authorities = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    lent = place / "tools/share/ca-certificates.crt"
    own = ssl.get_default_verify_paths()
    if not authorities and not own.cafile and not any(Path(own.capath or "/nowhere").glob("*")) and lent.exists():
        authorities = str(lent)
    context = ssl.create_default_context(cafile=authorities or None)
    address = index.rstrip("/") + "/pip/"
    with urlopen(address, timeout=TIMEOUT_SECONDS, context=context) as page:  # noqa: S310 - the client's own choice
        link = newest_link(page.read().decode("utf-8", "replace"), sys.version_info[1])
    if link is None:
        raise ValueError(f"{address} has no pip for this Python.")
    with urlopen(urljoin(address, link), timeout=TIMEOUT_SECONDS, context=context) as wheel:  # noqa: S310 - as above
        path = place / link.rpartition("/")[2].partition("#")[0]
        path.write_bytes(wheel.read())
    return path


def main() -> int:
    """Prints the path; a sentence on stderr where there is no pip to be had."""
    place = Path(sys.argv[1])
    folders = [folder.replace("file://", "") for folder in os.environ.get("PIP_FIND_LINKS", "").split()]
    try:
        found = local_wheel(folders) or fetched_wheel(os.environ.get("PIP_INDEX_URL", PYPI), place)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"pip could not be fetched: {error}\n")
        return 1
    sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
