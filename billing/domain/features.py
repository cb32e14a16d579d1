"""Names of this app's features that staff can switch, and who is among the first to get one."""

import hashlib
from decimal import Decimal

CHARGE_CARDS = "charge_cards"
SEND_PAYOUTS = "send_payouts"


def in_share(name: str, user_id: int, percent: Decimal | None) -> bool:
    """Whether the account is among the first ``percent`` to get the feature: always the same ones, others for each."""
    digest = hashlib.sha256(f"{name}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") * 100 < (percent or 0) * 2**64
