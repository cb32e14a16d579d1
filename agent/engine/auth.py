"""Logins to registries: how Docker wants them, and what became of one that was refused."""

import re

import docker.errors
import requests.exceptions
from docker.api.client import APIClient
from docker.utils import kwargs_from_env

from agent.engine.errors import pull_refusal
from agent.engine.references import HUB, registry_of
from agent.engine.types import TaskError
from agent.protocol import RegistryLogin

_HUB_ADDRESS = "https://index.docker.io/v1/"
_CHECK_SECONDS = 30
_WRONG = re.compile(r"incorrect username or password|malformed|access token has expired", re.IGNORECASE)
_NOT_LET_IN = re.compile(
    r"unauthorized|authentication required|no basic auth credentials|401|denied|forbidden|403|insufficient[_ ]scope",
    re.IGNORECASE,
)


def config(login: RegistryLogin | None) -> dict[str, str]:
    """What Docker's pull takes; without a login an empty one, which is none."""
    if login is None:
        return {}
    return {"username": login.username, "password": login.password, "serveraddress": _address(login.registry)}


def refusal(image: str, text: str, login: RegistryLogin) -> TaskError:
    """The refusal to fetch an image with a login, for the client.

    Registries say the same of a wrong password and of a login without rights, so the login is tried by itself.
    """
    if not _NOT_LET_IN.search(text) and not _WRONG.search(text):
        return pull_refusal(image, text)
    if _WRONG.search(text) or _is_wrong(login):
        return TaskError(
            "image_missing", f"The registry {login.registry} refuses the login: user name or password is wrong."
        )
    message = f"The login to {registry_of(image)} has no right to the image {image}, or there is no such image."
    return TaskError("image_missing", message)


def _is_wrong(login: RegistryLogin) -> bool:
    """Whether the registry knows no such user and password. Through a client of its own, which forgets the login."""
    try:
        client = APIClient(**kwargs_from_env(), timeout=_CHECK_SECONDS)
        client.login(login.username, login.password, registry=_address(login.registry), reauth=True)
    except docker.errors.APIError as error:
        return bool(_NOT_LET_IN.search(str(error.explanation or error)))
    except (docker.errors.DockerException, requests.exceptions.RequestException):
        return False
    return False


def _address(registry: str) -> str:
    return _HUB_ADDRESS if registry == HUB else registry
