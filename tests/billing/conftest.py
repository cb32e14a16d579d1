"""Accounts and instants for the tests of billing. Tests that use accounts are marked ``django_db``."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from marketplace.models import User

MakeUser = Callable[..., User]


@pytest.fixture
def now() -> datetime:
    """A full hour."""
    return datetime(2026, 3, 6, 12, 0, tzinfo=UTC)


@pytest.fixture
def make_user() -> MakeUser:
    """Makes accounts with addresses after their names."""

    def make(name: str, *, is_staff: bool = False) -> User:
        return User.objects.create(email=f"{name}@example.com", is_staff=is_staff)

    return make


@pytest.fixture
def client_user(make_user: MakeUser) -> User:
    return make_user("client")


@pytest.fixture
def host_user(make_user: MakeUser) -> User:
    return make_user("host")


@pytest.fixture
def staff(make_user: MakeUser) -> User:
    return make_user("staff", is_staff=True)
