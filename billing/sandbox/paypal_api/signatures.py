"""How webhooks are signed, and the question whether one was.

PayPal signs id, time, webhook and the body's checksum with a key whose certificate the headers name. The sandbox signs
the same text with a secret of its own, and is asked about it through PayPal's own call.
"""

import hashlib
import hmac
import json
import secrets
import zlib
from typing import Any

from billing.sandbox.paypal_api.payouts import instant

ALGORITHM = "SHA256withRSA"
CERTIFICATE = "https://api.paypal.com/v1/notifications/certs/CERT-sandbox"
_ASKED = ("auth_algo", "cert_url", "transmission_id", "transmission_sig", "transmission_time", "webhook_id")
_MARK = '"webhook_event": '


def signer(webhook_id: str) -> Any:
    """A ``Sign`` of ``webhooks.Hook``."""

    def sign(secret: str, body: str, now: int) -> dict[str, str]:
        transmission, at = secrets.token_hex(16), instant(now)
        return {
            "Paypal-Auth-Algo": ALGORITHM,
            "Paypal-Cert-Url": CERTIFICATE,
            "Paypal-Transmission-Id": transmission,
            "Paypal-Transmission-Sig": _signature(secret, transmission, at, webhook_id, body),
            "Paypal-Transmission-Time": at,
        }

    return sign


def verified(secret: str, text: str) -> bool:
    """Whether the event in the question was signed by us. ``text`` is the question as it came: the event's very bytes
    were signed."""
    asked = json.loads(text)
    if not all(isinstance(asked.get(name), str) for name in _ASKED) or _MARK not in text:
        return False
    body = text.split(_MARK, 1)[1].rstrip().removesuffix("}")
    signature = _signature(secret, asked["transmission_id"], asked["transmission_time"], asked["webhook_id"], body)
    return hmac.compare_digest(signature, asked["transmission_sig"])


def _signature(secret: str, transmission: str, at: str, webhook_id: str, body: str) -> str:
    said = f"{transmission}|{at}|{webhook_id}|{zlib.crc32(body.encode())}"
    return hmac.new(secret.encode(), said.encode(), hashlib.sha256).hexdigest()
