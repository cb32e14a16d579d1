"""The relay's process: its key, its listening, and a look at the database every other second."""

import asyncio
import contextlib
import logging
import os
import signal
import ssl
from datetime import datetime
from pathlib import Path

import asyncssh
import structlog
from django.conf import settings
from django.utils import timezone

from hosting.relay.gate import Gate, UnavailableError
from hosting.relay.ports import PublicPorts
from hosting.relay.tunnels import Tunnels
from hosting.services.relay_leases import relay_seen

logger = structlog.get_logger(__name__)

SWEEP_SECONDS = 2.0
LOGIN_SECONDS = 20
KEEPALIVE_SECONDS = 15
KEEPALIVES_MISSED = 3
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com")
"""The cheapest first: what goes through here is encrypted by its own ends already."""


def run() -> None:
    """Until SIGTERM or SIGINT. Raises OSError where the port or a file can't be used, ssl.SSLError for a bad one."""
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    asyncio.run(_serve())


async def _serve() -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    await serve(ending)


async def serve(ending: asyncio.Event) -> None:
    """The relay, until ``ending`` is set."""
    key = host_key(settings.RELAY_HOST_KEY_FILE)
    tls = Certificate(settings.RELAY_TLS_CERT_FILE, settings.RELAY_TLS_KEY_FILE)
    gate = Gate()
    tunnels = Tunnels(gate, PublicPorts(settings.RELAY_BIND, tls.context))
    acceptor = await _listen(tunnels, key)
    logger.info("relay_runs", port=settings.RELAY_PORT, ports=tuple(settings.RELAY_PORTS), tls=tls.context is not None)
    try:
        await _look_until(ending, tunnels, tls, key)
    finally:
        acceptor.close()
        tunnels.ports.close_all()
        tunnels.cut_all()
        gate.close()
        logger.info("relay_ends")


async def _listen(tunnels: Tunnels, key: asyncssh.SSHKey) -> asyncssh.SSHAcceptor:
    return await asyncssh.listen(
        settings.RELAY_BIND or None,
        settings.RELAY_PORT,
        server_factory=tunnels.make,
        server_host_keys=[key],
        server_version="Spotyard",
        config=None,
        reuse_address=True,
        encryption_algs=_CIPHERS,
        compression_algs=None,
        gss_host=None,
        login_timeout=LOGIN_SECONDS,
        keepalive_interval=KEEPALIVE_SECONDS,
        keepalive_count_max=KEEPALIVES_MISSED,
        tcp_keepalive=True,
        allow_pty=False,
        allow_scp=False,
        agent_forwarding=False,
        x11_forwarding=False,
    )


async def _look_until(ending: asyncio.Event, tunnels: Tunnels, tls: "Certificate", key: asyncssh.SSHKey) -> None:
    """Level-triggered: what is open is compared with what is leased, over and over."""
    started_at = timezone.now()
    public_key = " ".join(key.export_public_key("openssh").decode().split()[:2])
    while not ending.is_set():
        tls.renew()
        try:
            await _look(tunnels, tls, public_key, started_at)
        except UnavailableError as error:
            logger.warning("relay_database_away", error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), SWEEP_SECONDS)


async def _look(tunnels: Tunnels, tls: "Certificate", public_key: str, started_at: datetime) -> None:
    ports = tunnels.ports.owners()
    asked_about = set(tunnels.by_machine) | set(ports.values())
    if asked_about:
        tunnels.enforce(await tunnels.gate.permits(asked_about), asked_about, ports)
    figures = _figures(tunnels)
    has_tls = tls.context is not None

    def tell() -> None:
        relay_seen(host_key=public_key, has_tls=has_tls, started_at=started_at, figures=figures, now=timezone.now())

    await tunnels.gate.run(tell)


def _figures(tunnels: Tunnels) -> dict[str, int]:
    counts = tunnels.ports.counts
    return {
        "machines": len(tunnels.by_machine),
        "ports": len(tunnels.ports.owners()),
        "connections": counts.open,
        "connections_total": counts.total,
        "connections_refused": counts.refused,
        "bytes_in": counts.bytes_in,
        "bytes_out": counts.bytes_out,
    }


def host_key(file: Path) -> asyncssh.SSHKey:
    """The relay's own key, made where there is none. Raises OSError, asyncssh.KeyImportError."""
    with contextlib.suppress(FileNotFoundError):
        return asyncssh.read_private_key(file)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = asyncssh.generate_private_key("ssh-ed25519", comment="spotyard-relay")
    scratch = file.with_suffix(".new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(key.export_private_key("openssh"))
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(file)
    return key


class Certificate:
    """The certificate of the https ports; ``context`` is None without one. A renewed file is taken up by itself."""

    def __init__(self, cert_file: str, key_file: str) -> None:
        self._files = (cert_file, key_file or None)
        self._loaded_at = 0.0
        self.context = self._load() if cert_file else None

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._loaded_at = Path(self._files[0]).stat().st_mtime
        context.load_cert_chain(*self._files)
        return context

    def renew(self) -> None:
        """Handshakes from now on use the files as they are now; the former ones where these are no good."""
        if self.context is None:
            return
        try:
            changed_at = Path(self._files[0]).stat().st_mtime
            if changed_at != self._loaded_at:
                self._loaded_at = changed_at
                self.context.load_cert_chain(*self._files)
                logger.info("relay_certificate_renewed")
        except (OSError, ssl.SSLError) as error:
            logger.warning("relay_certificate_unusable", error=str(error))
