"""The files an ssh-mode container is given before its first start.

They travel in its environment, which costs nothing, and are written by its own first process. What does not fit there,
or comes later, is put in as a tar archive, which takes the engine about as long as a sixth of a start.
"""

import hashlib
import io
import json
import tarfile
from datetime import UTC, datetime
from importlib import resources

from agent.guest import jupyter as notebooks
from agent.protocol import JupyterSpec

DIRECTORY = ".spotyard"
START_COMMAND = ["/bin/sh", "-c", 'eval "$SPOTYARD_BOOT"']
NO_SERVER_EXIT_CODE = 117
SERVER_FAILS_EXIT_CODE = 118
"""Both as in start.sh."""
_LONGEST_VARIABLE = 100_000
"""The kernel's limit is 128 KiB for one variable."""


def _resource(name: str) -> bytes:
    return resources.files("agent.guest").joinpath(name).read_bytes()


_BOOT_SCRIPT = _resource("boot.sh")
_START_SCRIPT = _resource("start.sh")
_SESSION_SCRIPT = _resource("session.sh")
_SHRC = _resource("shrc")
_SSHD_CONFIG = _resource("sshd_config")
_JUPYTER_SCRIPT = _resource("jupyter.sh")
_FIND_PIP = _resource("find_pip.py")
_SESSION = 'command="exec /bin/sh /.spotyard/session.sh" '
"""Before a key: what its logins begin with."""
_RESTRICTED = "restrict,"
"""Begins a line whose key opens the container to one command only."""


def boot_environment(onstart: str, authorized_keys: list[str], jupyter: JupyterSpec | None = None) -> dict[str, str]:
    """Variables for START_COMMAND that carry the same files as ``first_files``; see ``carries_files``."""
    files = {
        "SPOTYARD_KEYS": _keys_text(authorized_keys).decode(),
        "SPOTYARD_SESSION_KEYS": _session_keys_text(authorized_keys).decode(),
        "SPOTYARD_SSHD_CONFIG": _SSHD_CONFIG.decode(),
        "SPOTYARD_SESSION": _SESSION_SCRIPT.decode(),
        "SPOTYARD_SHRC": _SHRC.decode(),
        "SPOTYARD_ONSTART": _ending_in_newline(onstart) if onstart else "",
        "SPOTYARD_START": _START_SCRIPT.decode(),
    }
    if jupyter is not None:
        files["SPOTYARD_JUPYTER"] = notebooks.settings_text(jupyter)
        files["SPOTYARD_JUPYTER_SCRIPT"] = _JUPYTER_SCRIPT.decode()
        files["SPOTYARD_FIND_PIP"] = _FIND_PIP.decode()
    boot = {"SPOTYARD_BOOT": _BOOT_SCRIPT.decode()}
    return boot | files if carries_files(onstart, authorized_keys) else boot


def carries_files(onstart: str, authorized_keys: list[str]) -> bool:
    """Whether everything fits into the environment; otherwise ``first_files`` have to be put in."""
    longest = max(len(onstart.encode()), len(_session_keys_text(authorized_keys)))
    return longest <= _LONGEST_VARIABLE and "\0" not in onstart


def first_files(onstart: str, authorized_keys: list[str], jupyter: JupyterSpec | None = None) -> bytes:
    """An archive of start script, SSH server settings, keys, what Jupyter needs where it is wanted, and the client's
    on-start script where there is one.

    The last replaces one that the image may ship; after the first start it is the client's to edit.
    """
    files = [
        (f"{DIRECTORY}/start.sh", _START_SCRIPT, 0o755),
        (f"{DIRECTORY}/session.sh", _SESSION_SCRIPT, 0o644),
        (f"{DIRECTORY}/shrc", _SHRC, 0o644),
        (f"{DIRECTORY}/sshd_config", _SSHD_CONFIG, 0o644),
        *_key_files(authorized_keys),
    ]
    if jupyter is not None:
        files.append((f"{DIRECTORY}/{notebooks.SETTINGS_FILE}", notebooks.settings_text(jupyter).encode(), 0o644))
        files.append((f"{DIRECTORY}/jupyter.sh", _JUPYTER_SCRIPT, 0o644))
        files.append((f"{DIRECTORY}/find_pip.py", _FIND_PIP, 0o644))
    if onstart:
        files.append(("root/onstart.sh", _ending_in_newline(onstart).encode(), 0o755))
    return _archive(files)


def keys_file(authorized_keys: list[str]) -> bytes:
    """An archive with nothing but the keys, to replace them in an existing container."""
    return _archive(_key_files(authorized_keys))


def notice_file(message: str, grace_seconds: int, at: float) -> bytes:
    """An archive with the reason why the container is being stopped; ``at`` in seconds since the epoch."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    notice = {"message": message, "grace_seconds": grace_seconds, "at": moment}
    return _archive([(f"{DIRECTORY}/notice.json", json.dumps(notice).encode() + b"\n", 0o644)])


def keys_digest(authorized_keys: list[str]) -> str:
    """Tells one set of keys from another without keeping them."""
    return hashlib.sha256(_keys_text(authorized_keys)).hexdigest()


def _key_files(authorized_keys: list[str]) -> list[tuple[str, bytes, int]]:
    """Twice: as they are, and as sshd reads them where session.sh can do all that sshd does itself."""
    return [
        (f"{DIRECTORY}/authorized_keys", _keys_text(authorized_keys), 0o600),
        (f"{DIRECTORY}/session_keys", _session_keys_text(authorized_keys), 0o600),
    ]


def _session_keys_text(authorized_keys: list[str]) -> bytes:
    return "".join(f"{_session_of(key)}{key.strip()}\n" for key in authorized_keys).encode()


def _session_of(key: str) -> str:
    """Nothing before a key that brings a command of its own."""
    return "" if key.startswith(_RESTRICTED) else _SESSION


def _keys_text(authorized_keys: list[str]) -> bytes:
    return "".join(f"{key.strip()}\n" for key in authorized_keys).encode()


def _ending_in_newline(text: str) -> str:
    unix = text.replace("\r\n", "\n")
    return unix if unix.endswith("\n") else unix + "\n"


def _archive(files: list[tuple[str, bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content, mode in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
