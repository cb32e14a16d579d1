"""What a client asks for when it rents, and what makes no sense in it."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace

from hosting.domain.images import MAX_IMAGE_CHARS, args_problem, image_problem, text_problem
from hosting.domain.registries import Login, login_problem
from hosting.domain.volumes import paths_problem

MIN_DISK_GB = 8
MAX_LABEL_CHARS = 256
MAX_RUNTYPE_CHARS = 80
MAX_ENV_CHARS = 32_768
MAX_ONSTART_CHARS = 65_536
MAX_PORTS = 64
SSH_PORT = 22
JUPYTER_PORT = 8080
MODES = ("ssh", "jupyter", "args")
"""jupyter is ssh with Jupyter besides."""
MAX_DIRECTORY_CHARS = 1024

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED_ENV = frozenset(
    {
        "VAST_CONTAINERLABEL",
        "CONTAINER_ID",
        "GPU_COUNT",
        "PUBLIC_IPADDR",
        "NVIDIA_VISIBLE_DEVICES",
        "JUPYTER_TOKEN",
        "SSH_PUBLIC_KEY",
    }
)
_RESERVED_PATTERN = re.compile(r"VAST_(TCP|UDP)_PORT_[0-9]+|SPOTYARD_.*")


@dataclass(frozen=True, kw_only=True)
class TemplateUsed:
    """Which template, and which content of it."""

    template_id: int
    hash_id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class VolumeWish:
    """A volume of the client's on a path of the container: one that is there, by number or name, or a new one."""

    path: str
    volume_id: int | None = None
    name: str = ""
    new_size_gb: int | None = None
    """A new one of this size."""
    offer_id: int | None = None
    """The offer whose storage price was seen, where that is another than the one that is rented."""


@dataclass(frozen=True, kw_only=True)
class RentRequest:
    """The container a client wants. ``runtype`` is kept as asked, for the API; ``mode`` is what it means."""

    image: str
    disk_gb: int
    mode: str = "ssh"
    runtype: str = "ssh"
    bid_micros_per_hour: int | None = None
    """For all GPUs of the offer together; None rents on demand."""
    accepts_waiting: bool = False
    """Whether a bid that does not win now may wait for its turn."""
    idempotency_key: str = ""
    """Told by the client to mark retries of one request."""
    args: tuple[str, ...] = ()
    entrypoint: str = ""
    env: dict[str, str] = field(default_factory=dict)
    ports: tuple[tuple[int, str], ...] = ()
    onstart: str = ""
    label: str = ""
    use_jupyter_lab: bool = False
    """In jupyter mode JupyterLab, else Notebook."""
    jupyter_dir: str = ""
    """What Jupyter shows, an absolute path; empty for everything."""
    registry_login: Login | None = None
    """With what the image is fetched."""
    volumes: tuple[VolumeWish, ...] = ()
    template: TemplateUsed | None = None
    """What the rest was filled in from, to be noted."""

    @property
    def has_ssh(self) -> bool:
        """Whether the container is ours to start, with an SSH server, and not the image's own command."""
        return self.mode != "args"

    def fingerprint(self, login_mark: str = "") -> str:
        """Hash of the whole request: equal for a retry, different for another wish.

        In the place of the login stands ``login_mark``, which nobody can make a password of.
        """
        told = asdict(replace(self, registry_login=None)) | {"registry_login": login_mark}
        if not self.volumes:
            del told["volumes"]  # as it was before there were volumes
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def ports_wanted(self) -> list[tuple[int, str]]:
        """Container ports to publish: SSH's own and Jupyter's where the mode has them, then the client's."""
        wanted = [(SSH_PORT, "tcp")] if self.has_ssh else []
        if self.mode == "jupyter":
            wanted.append((JUPYTER_PORT, "tcp"))
        return wanted + [port for port in self.ports if port not in wanted]


def own_environment(
    *, label: str, instance_id: int, num_gpus: int, address: str, ports: list[tuple[int, int, str]], jupyter_token: str
) -> dict[str, str]:
    """The variables every container gets from us; ``ports`` are (container port, host port, protocol)."""
    mapped = {f"VAST_{protocol.upper()}_PORT_{inside}": str(outside) for inside, outside, protocol in ports}
    return mapped | {
        "VAST_CONTAINERLABEL": label,
        "CONTAINER_ID": str(instance_id),
        "GPU_COUNT": str(num_gpus),
        "PUBLIC_IPADDR": address,
        "JUPYTER_TOKEN": jupyter_token,
    }


def problems(request: RentRequest) -> dict[str, str]:
    """A sentence for each field that makes no sense; empty when all is well."""
    found = {
        "image": image_problem(request.image),
        "disk_gb": "" if request.disk_gb >= MIN_DISK_GB else f"The disk must have at least {MIN_DISK_GB} GB.",
        "mode": "" if request.mode in MODES else f"{request.mode!r} is not a launch mode.",
        "jupyter_dir": directory_problem(request.jupyter_dir),
        "runtype": text_problem("The runtype", request.runtype, MAX_RUNTYPE_CHARS),
        "args": args_problem(request.args),
        "env": _env_problem(request.env),
        "ports": _ports_problem(request.ports),
        "onstart": text_problem("The on-start script", request.onstart, MAX_ONSTART_CHARS),
        "label": text_problem("The label", request.label, MAX_LABEL_CHARS),
        "entrypoint": text_problem("The entrypoint", request.entrypoint, MAX_IMAGE_CHARS),
        "volume_info": paths_problem([wish.path for wish in request.volumes]),
        "image_login": login_problem(request.registry_login, request.image) if request.registry_login else "",
    }
    return {name: text for name, text in found.items() if text}


def directory_problem(path: str) -> str:
    """Why Jupyter can't be given this directory; empty for one that it can, or for none."""
    if path and (not path.startswith("/") or not path.isprintable()):
        return "Jupyter's directory must be an absolute path such as /workspace."
    return text_problem("Jupyter's directory", path, MAX_DIRECTORY_CHARS)


def _env_problem(env: dict[str, str]) -> str:
    total = sum(len(name) + len(value) for name, value in env.items())
    if total > MAX_ENV_CHARS:
        return f"The environment has {total} characters; {MAX_ENV_CHARS} is the most."
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name):
            return f"{name[:80]!r} is not a name for an environment variable (letters, digits and _, no digit first)."
        if name in RESERVED_ENV or _RESERVED_PATTERN.fullmatch(name):
            return f"{name} is set by the marketplace and can't be chosen."
        if "\0" in value:
            return f"The value of {name} contains a NUL character."
    return ""


def _ports_problem(ports: tuple[tuple[int, str], ...]) -> str:
    if len(ports) > MAX_PORTS:
        return f"At most {MAX_PORTS} ports."
    for port, protocol in ports:
        if not 1 <= port <= 65535 or protocol not in ("tcp", "udp"):
            return f"{port}/{protocol} is not a port (1-65535, tcp or udp)."
    return ""
