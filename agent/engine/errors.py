"""From what Docker says to what a client can understand."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import docker.errors
import requests.exceptions
import urllib3.exceptions

from agent.engine.references import registry_of
from agent.engine.types import (
    ContainerGoneError,
    EngineDownError,
    ImageMissingError,
    NameTakenError,
    TaskError,
    VolumeMissingError,
)
from agent.printable import printable
from agent.protocol import FailureReason

_LONGEST_DETAIL = 300

# First match wins. The text after a colon is Docker's own wording, matched without regard to case.
_RULES: list[tuple[str, FailureReason, str]] = [
    (
        r"(?:listen (?:tcp|udp)[46]? |bind for )\S*?:(?P<port>\d+)\b.*(?:already in use|already allocated)",
        "port_taken",
        "Port {port} on the host is already in use by another program.",
    ),
    (
        r"address already in use|port is already allocated",
        "port_taken",
        "One of the instance's ports is already in use by another program on the host.",
    ),
    (r"no space left on device|disk quota exceeded", "disk_full", "The host's disk is full."),
    (
        r"could not select device driver|nvidia-container|libnvidia|unknown device|nvidia\.com/gpu",
        "gpu_unavailable",
        "The host's GPU driver or NVIDIA container runtime is not working, so the GPUs can't be attached.",
    ),
    (
        r"docker-init",
        "engine_error",
        "The host's container engine is incomplete: it lacks docker-init (on Debian and Ubuntu, the package tini).",
    ),
    (
        r"exec format error",
        "command_not_found",
        "The image is built for another processor architecture than the host's.",
    ),
    (
        r"executable file not found|no such file or directory: unknown|exec: .*no such file|stat .*no such file",
        "command_not_found",
        "The command does not exist in the image.",
    ),
    (r"exec.*permission denied", "command_not_found", "The command in the image may not be executed."),
    (r"cannot allocate memory", "out_of_memory", "The host has too little free memory to start the container."),
]

_PULL_RULES: list[tuple[str, FailureReason, str]] = [
    (r"no space left on device", "disk_full", "The host's disk is too full for the image {image}."),
    (
        r"invalid reference format|invalid tag|must be lowercase",
        "image_missing",
        "{image} is not a valid image name.",
    ),
    (
        r"manifest unknown|manifest for .* not found|not found: manifest|no matching manifest|name unknown"
        r"|repository name not known",
        "image_missing",
        "The registry has no image {image} for this kind of machine; check its name and tag.",
    ),
    (
        r"pull access denied|repository does not exist|requested access to the resource is denied|unauthorized"
        r"|no basic auth credentials|access forbidden|denied:",
        "image_missing",
        "The image {image} does not exist, or needs a login to its registry.",
    ),
    (
        r"toomanyrequests|rate limit",
        "image_pull_failed",
        "The registry refuses {image} for now: its pull limit for this host's address is used up.",
    ),
    (
        r"no such host",
        "image_pull_failed",
        "There is no registry {registry} as far as the host can see: check the name of the image {image}.",
    ),
    (
        r"server gave HTTP response to HTTPS client|first record does not look like a TLS handshake",
        "image_pull_failed",
        "The registry {registry} does not speak HTTPS, which the host insists on.",
    ),
    (
        r"dial tcp|i/o timeout|tls handshake|connection refused|network is unreachable"
        r"|server misbehaving|timeout exceeded|request canceled|certificate",
        "image_pull_failed",
        "The registry of {image} can't be reached from the host.",
    ),
]


def refusal(text: str) -> TaskError:
    """The engine's refusal to create or start a container, for the client."""
    for pattern, reason, sentence in _RULES:
        if match := re.search(pattern, text, re.IGNORECASE | re.DOTALL):
            return TaskError(reason, sentence.format(**match.groupdict()))
    return TaskError("engine_error", f"The container engine refused: {_shortened(text)}")


def pull_refusal(image: str, text: str) -> TaskError:
    """The engine's or registry's refusal to fetch an image, for the client."""
    for pattern, reason, sentence in _PULL_RULES:
        if re.search(pattern, text, re.IGNORECASE):
            return TaskError(reason, sentence.format(image=image, registry=registry_of(image)))
    return TaskError("image_pull_failed", f"The image {image} could not be fetched: {_shortened(text)}")


@contextmanager
def translated() -> Iterator[None]:
    """Turns docker-py's exceptions into those of ``agent.engine.types``."""
    try:
        yield
    except docker.errors.NotFound as error:
        raise _not_found(error) from error
    except docker.errors.APIError as error:
        raise _refused(error) from error
    except (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError) as error:
        raise EngineDownError("The container engine does not answer.") from error
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        docker.errors.DockerException,
        OSError,
    ) as error:
        raise EngineDownError("The container engine is not running or can't be reached.") from error


def explanation(error: docker.errors.APIError) -> str:
    """Docker's own words."""
    return str(error.explanation or error)


def _not_found(error: docker.errors.NotFound) -> Exception:
    text = explanation(error)
    if re.search(r"no such image|image .* not found", text, re.IGNORECASE):
        return ImageMissingError(text)
    if re.search(r"no such container|no container", text, re.IGNORECASE):
        return ContainerGoneError(text)
    if re.search(r"no such volume", text, re.IGNORECASE):
        return VolumeMissingError(text)
    return refusal(text)


def _refused(error: docker.errors.APIError) -> Exception:
    text = explanation(error)
    if error.status_code == 409 and "already in use by container" in text:
        return NameTakenError(text)
    if error.status_code == 400 and re.search(r"invalid reference format|must be lowercase", text):
        return TaskError("image_missing", "The image's name is not valid.")
    return refusal(text)


def _shortened(text: str) -> str:
    flat = printable(text)
    return flat if len(flat) <= _LONGEST_DETAIL else flat[: _LONGEST_DETAIL - 1] + "…"
