"""Logins to image registries: as people write them, and what makes no sense in one."""

import re
from dataclasses import dataclass, field

from hosting.domain.images import text_problem

HUB = "docker.io"
MAX_USERNAME_CHARS = 255
MAX_PASSWORD_CHARS = 16_384
"""Some registries have keys of a few thousand characters for passwords."""
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com", "docker.com"})
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?")
MAX_REGISTRY_CHARS = 255


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user and a password of a registry; the password is spelled out nowhere."""

    registry: str
    username: str
    password: str = field(repr=False)


def registry_name(text: str) -> str:
    """The registry that an address means, however it is written: "docker.io" for all ways to name the hub."""
    name = re.sub(r"^https?://", "", text.strip().lower()).partition("/")[0]
    return HUB if not name or name in _HUB_NAMES else name


def registry_of(image: str) -> str:
    """The registry that an image's name speaks of."""
    first, slash, _ = image.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return registry_name(first) if is_host else HUB


def registry_problem(registry: str) -> str:
    """Why this is no registry; empty when it is."""
    if len(registry) > MAX_REGISTRY_CHARS or not _HOST.fullmatch(registry):
        return f"{registry[:60]!r} is not a registry. It looks like docker.io, ghcr.io or registry.example.com:5000."
    return ""


def login_problem(login: Login, image: str = "") -> str:
    """Why this can't be the login for the image, without telling what is in it; empty when it can."""
    if wrong := registry_problem(login.registry):
        return wrong
    if not login.username or not login.password:
        return "A login to a registry needs a user name and a password (or an access token)."
    too_long = text_problem("The user name", login.username, MAX_USERNAME_CHARS)
    if too_long or not login.username.isprintable():
        return too_long or "The user name contains characters that can't be printed."
    if image and registry_of(image) != login.registry:
        return f"The login is for {login.registry}, but the image {image[:80]} is on {registry_of(image)}."
    return text_problem("The password", login.password, MAX_PASSWORD_CHARS)
