"""Gets a wheel of pip for a Python that has no pip, and prints its path.

Runs in a container, with the image's own Python, which may be as old as 3.8: nothing but the standard library, and
nothing newer. Takes the folder to put it in. Wheels in the folders that PIP_FIND_LINKS names go first, then those of
PIP_INDEX_URL, by default PyPI's.
"""

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


def version(name):
    """The version in a wheel's file name or address, as numbers; None where it is no wheel of a released pip."""
    found = _WHEEL.search(name)
    return tuple(int(part) for part in found.group(1).split(".")) if found else None


def local_wheel(folders):
    """The newest wheel in these folders; None where there is none."""
    wheels = [path for folder in folders if Path(folder).is_dir() for path in Path(folder).iterdir()]
    known = [path for path in wheels if version(path.name)]
    return max(known, key=lambda path: version(path.name)) if known else None


def newest_link(page, minor):
    """Address of the newest wheel on an index's page that runs on Python 3.``minor``; None where there is none."""
    found = {}
    for attributes in _LINK.findall(page):
        text = html.unescape(attributes)
        address = _ADDRESS.search(text)
        needed = _PYTHON_NEEDED.search(text)
        fits = needed is None or int(needed.group(1)) <= minor
        if address and version(address.group(1)) and fits and "data-yanked" not in text:
            found[version(address.group(1))] = address.group(1)
    return found[max(found)] if found else None


def fetched_wheel(index, folder, place):
    """Path of a wheel from the index, fetched into the folder. Raises OSError, ValueError."""
    authorities = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    lent = place / "tools/share/ca-certificates.crt"
    own = ssl.get_default_verify_paths()
    if not authorities and not own.cafile and not any(Path(own.capath or "/nowhere").glob("*")) and lent.exists():
        authorities = str(lent)
    context = ssl.create_default_context(cafile=authorities or None)
    address = index.rstrip("/") + "/pip/"
    with urlopen(address, timeout=TIMEOUT_SECONDS, context=context) as page:
        link = newest_link(page.read().decode("utf-8", "replace"), sys.version_info[1])
    if link is None:
        raise ValueError(f"{address} has no pip for this Python.")
    with urlopen(urljoin(address, link), timeout=TIMEOUT_SECONDS, context=context) as wheel:
        path = folder / _WHEEL.search(link).group(0)
        path.write_bytes(wheel.read())
    return path


def main():
    """Prints the path; a sentence on stderr where there is no pip to be had."""
    place = Path(sys.argv[1])
    folders = [folder.replace("file://", "") for folder in os.environ.get("PIP_FIND_LINKS", "").split()]
    try:
        found = local_wheel(folders) or fetched_wheel(os.environ.get("PIP_INDEX_URL", PYPI), place, place)
    except (OSError, ValueError) as error:
        print(f"pip could not be fetched: {error}", file=sys.stderr)
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
