"""Logins to registries as they lie in the database: one sealed JSON document each."""

import json

import structlog

from hosting.domain.registries import Login
from hosting.gateways.sealing import SealError, seal, unseal

logger = structlog.get_logger(__name__)


def sealed(login: Login) -> str:
    """To be stored."""
    return seal(json.dumps([login.registry, login.username, login.password]))


def opened(text: str) -> Login | None:
    """What was stored; None for nothing, and where the key is lost: the image then can't be fetched, which is told."""
    if not text:
        return None
    try:
        registry, username, password = json.loads(unseal(text))
    except SealError:
        logger.warning("registry_login_unreadable", cause="no key of FIELD_ENCRYPTION_KEYS made it")
        return None
    return Login(registry=registry, username=username, password=password)
