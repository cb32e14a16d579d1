"""The agent's own SSH connections to instances on other machines: to one command each, with a key of their own."""

import base64
import binascii
import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_SCAN_SECONDS = 20
_OPTIONS = {
    "BatchMode": "yes",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
    "GlobalKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
}


class WrongHostKeyError(Exception):
    """Somebody else than the instance answers at its address."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where an instance's SSH server is, and what opens it. ``folder`` is only for the owner of this process."""

    host: str
    port: int
    private_key: str
    host_keys: tuple[str, ...]
    """Types and fingerprints of the keys that the server may show, "ssh-ed25519 SHA256:…"; any where none is known."""
    folder: Path

    def open(self, command: str) -> subprocess.Popen[bytes]:
        """Begin the command there; its streams are pipes. Raises ``WrongHostKeyError``, ``OSError``."""
        return subprocess.Popen(
            self._command(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def _command(self, command: str) -> list[str]:
        key, known = self.folder / "key", self.folder / "known_hosts"
        _write_privately(key, self.private_key)
        trusted = self._trusted_lines()
        _write_privately(known, "".join(f"{line}\n" for line in trusted))
        checking = "yes" if trusted else "no"
        options = {**_OPTIONS, "UserKnownHostsFile": str(known), "StrictHostKeyChecking": checking}
        flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return [
            "ssh",
            "-T",
            "-F",
            "/dev/null",
            *flags,
            "-i",
            str(key),
            "-p",
            str(self.port),
            f"root@{self.host}",
            command,
        ]

    def _trusted_lines(self) -> list[str]:
        """What the server shows, as far as it is known to be its own. Nothing while it does not answer at all."""
        if not self.host_keys:
            return []
        scan = ["ssh-keyscan", "-T", "10", "-p", str(self.port), self.host]
        shown: list[str] = []
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(scan, capture_output=True, text=True, check=False, timeout=_SCAN_SECONDS)
            shown = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
        trusted = list(matching(shown, self.host_keys))
        if shown and not trusted:
            raise WrongHostKeyError
        return trusted


def matching(lines: Iterable[str], host_keys: Iterable[str]) -> Iterable[str]:
    """Those known_hosts lines whose key is one of these, given as type and fingerprint."""
    wanted = set(host_keys)
    for line in lines:
        _, _, key = line.partition(" ")
        key_type, _, body = key.partition(" ")
        try:
            digest = hashlib.sha256(base64.b64decode(body.split(" ")[0], validate=True)).digest()
        except binascii.Error:
            continue
        if f"{key_type} SHA256:{base64.b64encode(digest).decode().rstrip('=')}" in wanted:
            yield line


def _write_privately(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
