"""Reads the environment: typed, and refused by name when it makes no sense."""

import base64
import binascii
import hashlib
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()


def read(name: str, reader: Any, default: Any, *, check: Any = None, wants: str = "") -> Any:
    """The environment variable ``name`` through ``reader``; ImproperlyConfigured naming it when unusable."""
    try:
        value = reader(name, default=default)
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured(f"{name}={env.ENVIRON.get(name)!r} is not usable: {error}") from error
    if check is not None and not check(value):
        raise ImproperlyConfigured(f"{name}={value!r} is not usable: it must be {wants}")
    return value


def is_http_url(value: str) -> bool:
    """Whether it begins like the address of a site or an API."""
    return value.startswith(("http://", "https://"))


def is_fernet_key(text: str) -> bool:
    """Whether it is 32 bytes in the base64 of URLs."""
    try:
        return len(base64.urlsafe_b64decode(text)) == 32
    except (binascii.Error, ValueError):
        return False


def derived_key(secret: str) -> str:
    """A key made of another secret, for installations that hold nothing worth keeping."""
    return base64.urlsafe_b64encode(hashlib.sha256(f"field encryption {secret}".encode()).digest()).decode()


DEBUG = read("DEBUG", env.bool, False)
TESTING = read("TESTING", env.bool, False)
DEMO = read("DEMO", env.bool, False)
"""The demo installation: pages say that its machines are simulated and its money is not real."""
