"""The sandbox as a program: ``python -m billing.sandbox --port 8002 --state var/sandbox.sqlite``.

Secrets come from the environment, like the site's own: STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET.
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
    options = parser.parse_args(arguments)
    options.state.parent.mkdir(parents=True, exist_ok=True)
    defaults = Config()
    config = Config(
        stripe_secret_key=os.environ.get("STRIPE_SECRET_KEY") or defaults.stripe_secret_key,
        stripe_webhook_secret=os.environ.get("STRIPE_WEBHOOK_SECRET") or defaults.stripe_webhook_secret,
        stripe_webhook_url=options.stripe_webhook_url,
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


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
