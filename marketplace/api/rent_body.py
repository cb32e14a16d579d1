"""The body of "create instance", in the words of the command-line client, as the rental it asks for.

What the marketplace does not do is refused by name, never ignored: nobody should pay for something else than was
asked for.
"""

import math
import re
import shlex
from typing import Any

from marketplace.api.volume_body import is_volume_option, volumes_wished
from marketplace.api.wire import Fields
from marketplace.domain.query_fields import shown
from marketplace.domain.rent import RentRequest
from marketplace.errors import MarketError

DEFAULT_DISK_GB = 10.0
MOST_KEY_CHARS = 255
SSH_RUNTYPES = frozenset({"ssh", "ssh_proxy", "ssh_direct", "ssh_direc"})
JUPYTER_RUNTYPES = frozenset({"jupyter", "jupyter_proxy", "jupyter_direct", "jupyter_direc"})
ARGS_RUNTYPES = frozenset({"args", "args_str"})

_MEANINGLESS_HERE = frozenset({"client_id", "api_key", "cancel_unavail", "id", "ids"})
"""Who asks is in the header; what is not available is always an error."""
_READ_NAMES = """
    image env disk label onstart entrypoint runtype args args_str price force accept_waiting target_state
    lang_utf8 python_utf8 use_jupyter_lab jupyter_dir volume_info
"""
_UNAVAILABLE = {
    "user": "Containers run as the image's own user: leave user out.",
    "extra": "Extra options of docker are not taken: leave extra out.",
    "vm": "Virtual machines are not available.",
}
_KNOWN = _MEANINGLESS_HERE.union(_READ_NAMES.split(), _UNAVAILABLE)

_LOCALE_ENV = {"lang_utf8": {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}, "python_utf8": {"PYTHONUTF8": "1"}}
_PORT_OPTION = re.compile(r"-p\s+(?:(?P<host>[0-9]{1,6}):)?(?P<container>[0-9]{1,6})(?:/(?P<protocol>tcp|udp))?")
_OPTIONS = {
    "-h": "The host name of an instance is always C.<id>: leave -h out.",
    "-n": "Instances have a network of their own: leave -n out.",
}


def rent_request(body: object, idempotency_key: str = "") -> RentRequest:
    """The rental that the body asks for; further nonsense is refused by the service.

    A ``price`` is a bid, in dollars per hour for all GPUs. ``accept_waiting`` (which the command-line client can only
    say as ``force``) lets one wait that is too low to run now. Raises MarketError(invalid_args) naming the field.
    """
    fields = Fields(body)
    fields.refuse_unknown(_KNOWN)
    _refuse_unavailable(fields)
    runtype, mode, args = _launch(fields)
    env, ports = environment(fields)
    script = fields.text("onstart")
    return RentRequest(
        image=fields.text("image").strip(),
        bid_micros_per_hour=fields.micros("price") if "price" in fields else None,
        accepts_waiting=fields.flag("accept_waiting") or fields.flag("force"),
        idempotency_key=_key(idempotency_key),
        disk_gb=math.ceil(fields.number("disk", DEFAULT_DISK_GB) or 0),
        mode=mode,
        runtype=runtype,
        args=args,
        entrypoint=fields.text("entrypoint", script if mode == "args" else ""),
        env=env,
        ports=ports,
        onstart="" if mode == "args" else script,
        label=fields.text("label"),
        volumes=volumes_wished(fields),
        use_jupyter_lab=_for_jupyter(fields, "use_jupyter_lab", mode) and fields.flag("use_jupyter_lab"),
        jupyter_dir=fields.text("jupyter_dir").strip() if _for_jupyter(fields, "jupyter_dir", mode) else "",
    )


def _for_jupyter(fields: Fields, name: str, mode: str) -> bool:
    """Whether the field counts: it is refused where there is no Jupyter that it could say something of."""
    if mode != "jupyter" and fields.get(name) not in (None, False, ""):
        raise MarketError("invalid_args", f"{name} needs a jupyter runtype.", field=name)
    return mode == "jupyter"


def _key(text: str) -> str:
    if len(text) > MOST_KEY_CHARS or "\0" in text:
        raise MarketError("invalid_args", f"An Idempotency-Key has at most {MOST_KEY_CHARS} characters.")
    return text


def _refuse_unavailable(fields: Fields) -> None:
    for name, sentence in _UNAVAILABLE.items():
        if fields.get(name) not in (None, False, "", {}, []):
            raise MarketError("invalid_args", sentence, field=name)
    if fields.text("target_state", "running") != "running":
        raise MarketError("invalid_args", "A new instance always starts: leave target_state out.", field="target_state")


def _launch(fields: Fields) -> tuple[str, str, tuple[str, ...]]:
    """Runtype as asked, launch mode, and arguments. Without a runtype it is ssh, or args when there are arguments."""
    args = launch_arguments(fields)
    asked = fields.text("runtype").split() or ["ssh" if args is None else "args"]
    runtype = " ".join(dict.fromkeys(asked))  # each word once: it is kept, and a column has an end
    words = set(asked)
    if words <= SSH_RUNTYPES | JUPYTER_RUNTYPES:
        if args:
            message = "Arguments need the runtype args; in ssh and jupyter use onstart."
            raise MarketError("invalid_args", message, field="args")
        return runtype, "jupyter" if words & JUPYTER_RUNTYPES else "ssh", ()
    if words <= ARGS_RUNTYPES:
        return runtype, "args", args or ()
    raise MarketError("invalid_args", f"{shown(runtype)} is not a runtype: use ssh, jupyter or args.", field="runtype")


def launch_arguments(fields: Fields) -> tuple[str, ...] | None:
    """The words of ``args`` or ``args_str``; None where neither is there."""
    if "args_str" not in fields:
        return fields.texts("args")
    try:
        return tuple(shlex.split(fields.text("args_str")))
    except ValueError as error:
        raise MarketError("invalid_args", f"args_str can't be split into words: {error}.", field="args_str") from error


def environment(fields: Fields) -> tuple[dict[str, str], tuple[tuple[int, str], ...]]:
    """Variables and published container ports; the client sends both in ``env``, ports under keys like "-p 80:80"."""
    env: dict[str, str] = {}
    ports: dict[tuple[int, str], None] = {}
    for name, value in fields.object("env").items():
        if name.startswith("-p"):
            ports |= dict.fromkeys([_port(name)])
        elif is_volume_option(name):
            continue  # see ``volumes_wished``
        elif name.startswith("-"):
            raise MarketError("invalid_args", _option_refusal(name), field="env")
        else:
            env[name] = _variable(name, value)
    for flag, settings in _LOCALE_ENV.items():
        if fields.flag(flag):
            env = settings | env
    return env, tuple(ports)


def _port(option: str) -> tuple[int, str]:
    """The container's port of a docker option; which public port it gets is ours to choose."""
    match = _PORT_OPTION.fullmatch(option.strip())
    if match is None:
        raise MarketError("invalid_args", f"{shown(option)} is not a port like -p 8080:8080/tcp.", field="env")
    port = int(match["container"])
    if port > 65_535:
        raise MarketError("invalid_args", f"{shown(option)}: identity ports are not available.", field="env")
    return port, match["protocol"] or "tcp"


def _option_refusal(option: str) -> str:
    words = option.split()
    return _OPTIONS.get(words[0] if words else "", f"{shown(option)} is not an option that env takes: use -p.")


def _variable(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise MarketError("invalid_args", f"The value of {shown(name)} must be a text.", field="env")
