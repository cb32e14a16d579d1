"""The engine's RFC 3339 timestamps, which have up to nine decimals."""

import re
from datetime import datetime

_FRACTION = re.compile(r"\.(\d+)")


def instant(timestamp: str) -> float:
    """Seconds since the epoch. Raises ``ValueError`` for what is no timestamp."""
    six_decimals = _FRACTION.sub(lambda match: f".{match[1][:6]:0<6}", timestamp)
    return datetime.fromisoformat(six_decimals).timestamp()
