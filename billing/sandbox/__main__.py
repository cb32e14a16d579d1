"""The sandbox as a program: ``python -m billing.sandbox --port 8002 --state var/sandbox.sqlite``.

Keys and secrets come from the environment, by the same names as the site's own settings.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from billing.sandbox.app import Config, Sandbox
from billing.sandbox.serving import server_of


def main(arguments: list[str]) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m billing.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--state", type=Path, required=True, help="the file that remembers everything")
    parser.add_argument("--stripe-webhook-url", default="", help="where Stripe's events go")
    parser.add_argument("--stripe-connect-webhook-url", default="", help="where those about hosts' accounts go")
    parser.add_argument("--paypal-webhook-url", default="", help="where PayPal's events go")
    options = parser.parse_args(arguments)
    options.state.parent.mkdir(parents=True, exist_ok=True)
    config = Config(
        **_from_environment(),
        stripe_webhook_url=options.stripe_webhook_url,
        stripe_connect_webhook_url=options.stripe_connect_webhook_url,
        paypal_webhook_url=options.paypal_webhook_url,
    )
    signal.signal(signal.SIGTERM, _end)
    sandbox = Sandbox(options.state, config)
    server = server_of(sandbox, options.port)
    sandbox.start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.server_close()
        sandbox.close()
    return 0


def _from_environment() -> dict[str, str]:
    """Keys, secrets and the webhook's id, where they are set."""
    names = (
        "stripe_secret_key",
        "stripe_webhook_secret",
        "stripe_connect_webhook_secret",
        "paypal_client_id",
        "paypal_client_secret",
        "paypal_webhook_id",
    )
    return {name: value for name in names if (value := os.environ.get(name.upper()))}


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
