"""Addresses that clients copy into their shells."""

import ipaddress
import re

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


def is_address(text: str) -> bool:
    """Whether the text is an IP address or a host name, and so can't be anything else to a shell or to ssh."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) <= 253 and _HOSTNAME.fullmatch(text) is not None
    return "%" not in text  # an IPv6 scope may be any text
