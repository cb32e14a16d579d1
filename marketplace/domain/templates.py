"""What a template says, what makes no sense in it, and the hash that names exactly this content."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from hosting.domain.images import text_problem
from hosting.domain.registries import registry_of, registry_problem
from marketplace.domain import rent
from marketplace.domain.query import parse_query
from marketplace.errors import MarketError

RUNTYPES = ("ssh", "jupyter", "args")
DEFAULT_DISK_GB = 10
MOST_DISK_GB = 1_000_000
MOST_TEMPLATES = 200
"""Of one account."""
MOST_VERSIONS = 50
"""Former contents of one template that can still be rented by their hash."""
MAX_NAME_CHARS = 80
MAX_DESC_CHARS = 500
MAX_README_CHARS = 32_768
MAX_URL_CHARS = 500
MAX_TAG_CHARS = 128
MAX_FILTERS_CHARS = 4096
HASH_CHARS = 32


@dataclass(frozen=True, kw_only=True)
class TemplateContent:
    """A launch configuration and how it is presented. Who may see it is no part of it."""

    name: str
    image: str
    desc: str = ""
    tag: str = ""
    href: str = ""
    repo: str = ""
    runtype: str = "ssh"
    """One of ``RUNTYPES``."""
    ssh_direct: bool = False
    jup_direct: bool = False
    use_jupyter_lab: bool = False
    jupyter_dir: str = ""
    args: tuple[str, ...] = ()
    entrypoint: str = ""
    env: dict[str, str] = field(default_factory=dict)
    ports: tuple[tuple[int, str], ...] = ()
    onstart: str = ""
    disk_gb: int = DEFAULT_DISK_GB
    extra_filters: dict[str, Any] = field(default_factory=dict)
    """A query object: which offers fit."""
    readme: str = ""
    readme_visible: bool = True
    docker_login_repo: str = ""
    """The registry whose login is needed; empty for none. The login itself belongs to who rents."""

    @property
    def full_image(self) -> str:
        """The image's name with its tag."""
        return f"{self.image}:{self.tag}" if self.tag else self.image

    @property
    def hash_id(self) -> str:
        """Names this content: equal for equal content, another for any other."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()[:HASH_CHARS]

    def document(self) -> dict[str, Any]:
        """JSON to store, which ``content_of`` reads back."""
        return asdict(self) | {"args": list(self.args), "ports": [list(port) for port in self.ports]}


def content_of(document: dict[str, Any]) -> TemplateContent:
    """The content that a stored document holds; what it does not know has its default."""
    known = {name: value for name, value in document.items() if name in TemplateContent.__dataclass_fields__}
    ports = tuple((int(port), str(protocol)) for port, protocol in known.pop("ports", ()))
    return TemplateContent(**(known | {"args": tuple(known.pop("args", ())), "ports": ports}))


def named(content: TemplateContent, name: str) -> TemplateContent:
    """The same under another name, which is shortened where it is too long."""
    return replace(content, name=name[:MAX_NAME_CHARS])


def problems(content: TemplateContent) -> dict[str, str]:
    """A sentence for each field that makes no sense; empty when all is well."""
    found = {
        "name": "" if content.name.strip() else "Give the template a name.",
        "desc": text_problem("The description", content.desc, MAX_DESC_CHARS),
        "tag": text_problem("The tag", content.tag, MAX_TAG_CHARS),
        "href": _url_problem(content.href),
        "repo": _url_problem(content.repo),
        "runtype": "" if content.runtype in RUNTYPES else f"The runtype must be one of {', '.join(RUNTYPES)}.",
        "readme": text_problem("The readme", content.readme, MAX_README_CHARS),
        "docker_login_repo": _registry_problem(content),
        "extra_filters": _filters_problem(content.extra_filters),
    }
    found["name"] = found["name"] or text_problem("The name", content.name, MAX_NAME_CHARS)
    if content.disk_gb > MOST_DISK_GB:
        found["disk_gb"] = f"The disk can have at most {MOST_DISK_GB} GB."
    return rent.problems(_as_rental(content)) | {name: text for name, text in found.items() if text}


def _as_rental(content: TemplateContent) -> rent.RentRequest:
    """What is the same in a rental, to be judged by the same rules."""
    return rent.RentRequest(
        image=content.full_image,
        disk_gb=content.disk_gb,
        mode=content.runtype if content.runtype in RUNTYPES else "ssh",
        use_jupyter_lab=content.use_jupyter_lab,
        jupyter_dir=content.jupyter_dir,
        args=content.args,
        entrypoint=content.entrypoint,
        env=content.env,
        ports=content.ports,
        onstart=content.onstart,
    )


def _url_problem(url: str) -> str:
    if not url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "This is not an address."
    if len(url) > MAX_URL_CHARS or parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        return f"Give an address that begins with https:// and has at most {MAX_URL_CHARS} characters."
    return ""


def _registry_problem(content: TemplateContent) -> str:
    """Of the registry to log in to: the image has to be there."""
    registry = content.docker_login_repo
    if not registry:
        return ""
    if wrong := registry_problem(registry):
        return wrong
    if registry_of(content.image) != registry:
        return f"The image is on {registry_of(content.image)}, so a login to {registry} is of no use."
    return ""


def _filters_problem(filters: dict[str, Any]) -> str:
    if len(json.dumps(filters)) > MAX_FILTERS_CHARS:
        return f"The search filters have more than {MAX_FILTERS_CHARS} characters."
    try:
        parse_query(filters)
    except MarketError as refusal:
        return refusal.message
    return ""
