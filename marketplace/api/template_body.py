"""The body of "create template" and "update template", and what a template does to the body of "create instance"."""

import math
import re
from dataclasses import dataclass
from typing import Any

from hosting.domain.registries import registry_name
from marketplace.api.rent_body import environment, launch_arguments
from marketplace.api.volume_body import is_volume_option
from marketplace.api.wire import Fields
from marketplace.domain.docker_options import env_object
from marketplace.domain.query_fields import shown
from marketplace.domain.rent import TemplateUsed
from marketplace.domain.templates import DEFAULT_DISK_GB, RUNTYPES, TemplateContent
from marketplace.errors import MarketError
from marketplace.models import User
from marketplace.template_lists import template_chosen

CLIENT_DEFAULT_DISK_GB = 10
"""The command-line client always sends a disk, this one where nobody named any: then the template's counts."""

_TAGGED = re.compile(r"(?P<image>.+):(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})")
_NAMES = """
    client_id api_key id hash_id template_id name image tag href repo env onstart args args_str entrypoint jup_direct
    ssh_direct use_jupyter_lab runtype use_ssh jupyter_dir docker_login_repo extra_filters recommended_disk_space readme
    readme_visible desc private
"""
_KNOWN = frozenset(_NAMES.split())
_NOTHING: tuple[Any, ...] = (None, False, "", [], {})


@dataclass(frozen=True)
class TemplateBody:
    """What was sent: the content, and whether its owner alone sees it."""

    content: TemplateContent
    private: bool


def template_body(body: object) -> TemplateBody:
    """Read the body; nonsense within the fields is refused by the service. Raises MarketError(invalid_args)."""
    fields = Fields(body)
    fields.refuse_unknown(_KNOWN)
    runtype = _runtype(fields)
    image, tag = _image(fields)
    env, ports = environment(Fields({"env": _env(fields)}))
    _refuse_volumes(fields)
    script = fields.text("onstart")
    content = TemplateContent(
        name=fields.text("name").strip(),
        desc=fields.text("desc"),
        image=image,
        tag=tag,
        href=fields.text("href").strip(),
        repo=fields.text("repo").strip(),
        runtype=runtype,
        ssh_direct=fields.flag("ssh_direct"),
        jup_direct=fields.flag("jup_direct"),
        use_jupyter_lab=fields.flag("use_jupyter_lab"),
        jupyter_dir=fields.text("jupyter_dir"),
        args=launch_arguments(fields) or (),
        entrypoint=fields.text("entrypoint", script if runtype == "args" else ""),
        env=env,
        ports=ports,
        onstart="" if runtype == "args" else script,
        disk_gb=math.ceil(fields.number("recommended_disk_space", DEFAULT_DISK_GB) or DEFAULT_DISK_GB),
        extra_filters=_filters(fields),
        readme=fields.text("readme"),
        readme_visible=fields.flag("readme_visible") or "readme_visible" not in fields,
        docker_login_repo=_registry(fields),
    )
    return TemplateBody(content, private=fields.flag("private") or "private" not in fields)


def _refuse_volumes(fields: Fields) -> None:
    """They are of one account on one machine."""
    if any(is_volume_option(option) for option in _env(fields)):
        message = "A template can't name a volume: attach it when you rent, with -v or volume_info."
        raise MarketError("invalid_args", message, field="env")


def _runtype(fields: Fields) -> str:
    """One of RUNTYPES, however it is spelled; without one, ``use_ssh`` decides."""
    asked = fields.text("runtype", "ssh" if fields.flag("use_ssh") else "args").split()
    for known in ("jupyter", "ssh", "args"):
        if asked and any(word.startswith(known) for word in asked):
            return known
    wrong = shown(" ".join(asked))
    raise MarketError("invalid_args", f"{wrong} is not a runtype: use {', '.join(RUNTYPES)}.", field="runtype")


def _image(fields: Fields) -> tuple[str, str]:
    """Name and tag; a tag within the name counts where there is none of its own."""
    image, tag = fields.text("image").strip(), fields.text("tag").strip()
    match = _TAGGED.fullmatch(image)
    if match and "/" not in match["tag"] and "@" not in image:
        return match["image"], tag or match["tag"]
    return image, tag


def _env(fields: Fields) -> dict[str, Any]:
    """A line of docker options, as the client sends it, or an object as in "create instance"."""
    return env_object(fields.text("env")) if isinstance(fields.get("env"), str) else fields.object("env")


def _registry(fields: Fields) -> str:
    asked = fields.text("docker_login_repo").strip()
    return registry_name(asked) if asked else ""


def _filters(fields: Fields) -> dict[str, Any]:
    found = fields.object("extra_filters")
    try:
        str(found).encode()
    except UnicodeEncodeError as error:
        raise MarketError("invalid_args", "extra_filters contains half a character.", field="extra_filters") from error
    return found


def expand_template(user: User, body: object) -> tuple[object, TemplateUsed | None]:
    """The body of "create instance" with the template that it names filled in under what it says itself.

    Variables of both are set, the body's last. A disk of the client's usual size counts as none: then the template's
    is taken. Raises MarketError(no_such_template, 404).
    """
    fields = Fields(body)
    hash_id, number = fields.text("template_hash_id").strip(), fields.number("template_id")
    if not hash_id and number is None:
        return body, None
    is_id = number is not None and number == int(number) and 0 < number < 2**53
    if not hash_id and not is_id:
        raise MarketError("no_such_template", f"There is no template {shown(fields.get('template_id'))}.", status=404)
    template_id = int(number) if number is not None and not hash_id else None
    chosen = template_chosen(user, hash_id=hash_id, template_id=template_id)
    assert isinstance(body, dict)  # noqa: S101 - Fields refuses anything else; tells the type checker
    return _under(chosen.content, body), chosen.used


def _under(content: TemplateContent, body: dict[str, Any]) -> dict[str, Any]:
    base = rental_body(content)
    own = {name: value for name, value in body.items() if value not in _NOTHING}
    own.pop("template_hash_id", None)
    own.pop("template_id", None)
    if own.get("disk") == CLIENT_DEFAULT_DISK_GB:
        own.pop("disk")
    if "onstart" in own or "entrypoint" in own:
        base.pop("entrypoint", None)
    if "jupyter" not in str(own.get("runtype", "jupyter")):
        base.pop("use_jupyter_lab", None)
        base.pop("jupyter_dir", None)
    if "args_str" in own:
        base.pop("args", None)
    env = own.get("env", {})
    merged = base["env"] | env if isinstance(env, dict) else env
    return base | own | {"env": merged}


def rental_body(content: TemplateContent) -> dict[str, Any]:
    """The body of "create instance" that says the same."""
    ports = {f"-p {port}:{port}/{protocol}": "1" for port, protocol in content.ports}
    body: dict[str, Any] = {
        "image": content.full_image,
        "disk": content.disk_gb,
        "runtype": rental_runtype(content),
        "env": content.env | ports,
        "args": list(content.args),
        "entrypoint": content.entrypoint,
        "onstart": content.onstart,
        **_jupyter(content),
        "image_login": content.docker_login_repo,
    }
    return {name: value for name, value in body.items() if value not in _NOTHING} | {"env": body["env"]}


def _jupyter(content: TemplateContent) -> dict[str, Any]:
    """Only where there is Jupyter: the client sends its defaults in every mode."""
    if content.runtype != "jupyter":
        return {}
    return {"use_jupyter_lab": content.use_jupyter_lab, "jupyter_dir": content.jupyter_dir}


def rental_runtype(content: TemplateContent) -> str:
    """The runtype in the words of "create instance"."""
    if content.runtype == "jupyter":
        return "jupyter_direc ssh_direc ssh_proxy" if content.jup_direct else "jupyter_proxy ssh_proxy"
    if content.runtype == "ssh":
        return "ssh_direc ssh_proxy" if content.ssh_direct else "ssh"
    return "args"
