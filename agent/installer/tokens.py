"""Makes the install token that was given worth nothing, so that it does not matter who read it on the command line.

``curl … | sudo bash -s -- TOKEN`` shows the token in the list of processes for as long as the installation takes, and
in the shell's history for ever. So the first thing that is done, before the machine is looked at, is to give it another
secret, which is in a file for root alone. There it stays until the machine is registered: whoever had to put something
right runs the installer again without a token.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import urllib.error
import urllib.request

from agent.installer.layout import Layout
from agent.installer.system import InstallError, write

_PATH = "/api/agent/v1/token"
_PREFIX = "syi_"
_SECONDS = 30.0


class TokenRefusedError(InstallError):
    """The marketplace said no to this token."""


class AwayError(InstallError):
    """The marketplace can't be reached, or makes no sense."""


def changed(site: str, layout: Layout, token: str) -> str:
    """The secret that the token has from now on. The same for the same token until the machine is registered.

    It is written down before it is asked for, so that an answer that was lost, and another run of the same line, lead
    to it again. Raises ``TokenRefusedError``, ``InstallError``.
    """
    of = hashlib.sha256(token.encode()).hexdigest()
    noted = _noted(layout)
    replacement = noted["secret"] if noted.get("of") == of else new_secret()
    write(layout.token_note, json.dumps({"of": of, "secret": replacement}), 0o600)
    _ask(site + _PATH, json.dumps({"token": token, "replacement": replacement}).encode())
    return replacement


def kept(site: str, layout: Layout) -> str:
    """The secret that an earlier run got, if the marketplace takes it still; empty where there was none.

    Raises ``TokenRefusedError``, ``InstallError``.
    """
    secret = _noted(layout).get("secret", "")
    if secret:  # in the place of itself, which asks and changes nothing
        _ask(site + _PATH, json.dumps({"token": secret, "replacement": secret}).encode())
    return secret


def new_secret() -> str:
    """Of the form that the marketplace gives tokens."""
    return _PREFIX + secrets.token_urlsafe(32)


def forget(layout: Layout) -> None:
    """It has registered the machine."""
    for path in (layout.token, layout.token_note):
        if path.exists():
            path.unlink()


def _noted(layout: Layout) -> dict[str, str]:
    try:
        told = json.loads(layout.token_note.read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and {"of", "secret"} <= set(told) else {}


def _ask(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - of ours
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - of ours
            answer.read()
    except urllib.error.HTTPError as error:
        raise _refusal(error) from error
    except (OSError, ValueError) as error:
        raise AwayError(f"{url} can't be reached: {error}. Run this again.") from error


def _refusal(error: urllib.error.HTTPError) -> InstallError:
    try:
        told = json.loads(error.read())["msg"]
    except (OSError, ValueError, KeyError, TypeError):
        return AwayError(f"{error.url} answered with status {error.code}. Run this again.")
    if error.code in (401, 409):
        return TokenRefusedError(f"The marketplace refused this machine: {told}")
    return InstallError(f"The marketplace did not take the token: {told}")
