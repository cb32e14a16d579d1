"""The programs that make up the demo: their commands and their environment."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from scripts import dlperf_image
from scripts.demo.certificate import ensure_certificate
from scripts.demo.layout import AGENT_PORTS, ROOT, SIMULATED, Layout

_BIN = Path(sys.executable).parent


def environment(layout: Layout, *, database_url: str, redis_url: str) -> dict[str, str]:
    """What every process of the demo reads its settings from."""
    certificate, certificate_key = ensure_certificate(layout.data)
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "marketplace.settings"),
        "DEMO": "1",
        "SECRET_KEY": layout.secret_key(),
        "FIELD_ENCRYPTION_KEYS": layout.encryption_key(),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SITE_URL": layout.url,
        "AGENT_URL": layout.held_url,
        "ALLOWED_HOSTS": os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]"),
        "EMAIL_URL": os.environ.get("EMAIL_URL", "consolemail://"),
        "STRIPE_SECRET_KEY": "sk_test_sandbox",
        "STRIPE_WEBHOOK_SECRET": layout.webhook_secret(),
        "STRIPE_API_BASE": layout.provider_url,
        "STRIPE_CONNECT_WEBHOOK_SECRET": layout.connect_webhook_secret(),
        "PAYPAL_CLIENT_ID": "paypal-sandbox",
        "PAYPAL_CLIENT_SECRET": "paypal-sandbox-secret",
        "PAYPAL_WEBHOOK_ID": "WH-SANDBOX",
        "PAYPAL_API_BASE": layout.provider_url,
        "PAYPAL_WEB_BASE": layout.provider_url,
        "RELAY_HOST": "127.0.0.1",
        "RELAY_BIND": "127.0.0.1",
        "RELAY_PORT": str(layout.relay_port),
        "RELAY_PORTS": layout.relay_ports,
        "RELAY_HOST_KEY_FILE": str(layout.data / "relay_host_key"),
        "RELAY_TLS_CERT_FILE": str(certificate),
        "RELAY_TLS_KEY_FILE": str(certificate_key),
        "RELAY_TLS_SELF_SIGNED": "1",
        # Another name than the site's, so that its cookies stay away from instances.
        "RELAY_WEB_HOST": "localhost",
        "DLPERF_IMAGE": os.environ.get("DLPERF_IMAGE", dlperf_image.name()),
        "STATIC_ROOT": str(layout.data / "static"),
        "PYTHONUNBUFFERED": "1",
    }


def manage(*arguments: str) -> list[str]:
    """A Django management command."""
    return [sys.executable, str(ROOT / "manage.py"), *arguments]


def python(module: str) -> list[str]:
    """A module of ours run as a program."""
    return [sys.executable, "-m", module]


def web(layout: Layout) -> list[str]:
    """Pages and API: short requests, a few processes with threads."""
    return _gunicorn("marketplace.wsgi", layout.port, "--worker-class=gthread", "--workers=2", "--threads=8")


def held(layout: Layout) -> list[str]:
    """Requests that agents leave open until there is work: one event loop holds them all."""
    return _gunicorn("marketplace.asgi", layout.held_port, "--worker-class=asgi", "--workers=1")


def provider(layout: Layout) -> list[str]:
    """The sandbox that stands for payment providers: no real money moves in the demo."""
    options = ["--port", str(layout.provider_port), "--state", str(layout.data / "provider.sqlite")]
    for hook in ("stripe", "stripe-connect", "paypal"):
        options += [f"--{hook}-webhook-url", f"{layout.url}/webhooks/{hook}/"]
    return [*python("billing.sandbox"), *options]


def held_environment(base: Mapping[str, str]) -> dict[str, str]:
    """The held process may keep an agent's request this long."""
    return dict(base) | {"SYNC_HOLD_MAX_SECONDS": "25"}


def relay() -> list[str]:
    """What makes instances reachable on machines that are not."""
    return manage("relay")


def worker() -> list[str]:
    """Celery's worker for all but the auction. Threads, because some tasks wait for servers of others."""
    return _worker("--concurrency=8")


def clearing() -> list[str]:
    """Celery's worker that runs the auction: it has nothing else to do, and one round after the other to do it in."""
    return _worker("--concurrency=1", "--queues=clearing", "--hostname=clearing@%h")


def beat(folder: Path) -> list[str]:
    """Celery's clock; it keeps in ``folder`` what it last sent."""
    schedule = folder / "celerybeat-schedule"
    return [str(_BIN / "celery"), "--app=marketplace.celery", "beat", f"--schedule={schedule}", "--pidfile="]


def agent(layout: Layout) -> list[str]:
    """The host agent: simulated GPUs, a real engine."""
    options = ["--token-file", str(layout.data / "agent-token"), "--state-dir", str(layout.agent_state)]
    options += ["--simulate", SIMULATED, "--public-address", "127.0.0.1", "--ports", AGENT_PORTS]
    options += ["--hostname", "demo-rig", "--geolocation", "Oslo, NO", "--local-registries"]
    return [*python("agent"), "--server", layout.held_url, *options]


def fleet(layout: Layout) -> list[str]:
    """Some dozens of machines that exist only as numbers."""
    options = ["--config", str(layout.data / "fleet.json"), "--state-dir", str(layout.fleet_state)]
    return [*python("agent.fleet"), "--server", layout.held_url, *options]


def _worker(*options: str) -> list[str]:
    # Some tasks run every second; at INFO each would leave three lines.
    common = ["--loglevel=WARNING", "--pool=threads", "--without-gossip", "--without-mingle"]
    return [str(_BIN / "celery"), "--app=marketplace.celery", "worker", *common, *options]


def _gunicorn(application: str, port: int, *options: str) -> list[str]:
    common = ["--preload", "--graceful-timeout=3", "--no-control-socket"]
    return [str(_BIN / "gunicorn"), application, f"--bind=127.0.0.1:{port}", *common, *options]
