"""The parts of an image's name."""

HUB = "docker.io"
_HUB_NAMES = (HUB, "index.docker.io")
_LOCALHOST = "localhost"


def registry_of(image: str) -> str:
    """The registry that an image's name speaks of: "docker.io" where it names none."""
    first, slash, _ = image.partition("/")
    if not slash or not ("." in first or ":" in first or first == _LOCALHOST):
        return HUB
    return HUB if first in _HUB_NAMES else first


def repository_of(image: str) -> str:
    """The name without tag and digest, spelled as the engine lists it: "ubuntu", "team/app", "registry:5000/app"."""
    name = image.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    if colon and "/" not in tag:
        name = path
    for hub in _HUB_NAMES:
        name = name.removeprefix(f"{hub}/")
    rest = name.removeprefix("library/")
    return rest if "/" not in rest else name
