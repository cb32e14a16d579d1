"""The people of the demo."""

import json
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from allauth.account.models import EmailAddress
from django.db import transaction

from billing.services import credit_grant
from marketplace.models import User
from marketplace.services.keys import api_key_create

CREDIT_MICROS = 100_000_000
SIMULATED_CREDIT_MICROS = 5_000_000_000
ROLES = ("client", "client2", "host", "admin")
SIMULATED_HOSTS = 8
SIMULATED_RENTERS = 6


@dataclass(frozen=True)
class Login:
    """What someone needs to log in with the browser and the API."""

    email: str
    password: str
    api_key: str


def logins(directory: Path, now: datetime) -> dict[str, Login]:
    """The demo's accounts by role; made on the first run, then the same for ever."""
    file = directory / "accounts.json"
    if file.exists():
        known = {role: Login(**row) for role, row in json.loads(file.read_text()).items()}
        if User.objects.filter(email__in=[login.email for login in known.values()]).count() == len(known):
            return known
    made = {role: _make(role, now) for role in ROLES}
    file.touch(mode=0o600)
    file.write_text(json.dumps({role: asdict(login) for role, login in made.items()}, indent=2))
    return made


@transaction.atomic
def _make(role: str, now: datetime) -> Login:
    email, password = f"{role}@demo.spotyard.test", secrets.token_urlsafe(9)
    user = _user(email)
    user.is_staff = user.is_superuser = role == "admin"
    user.set_password(password)
    user.host_agreement_accepted_at = now
    user.save()
    if role.startswith("client"):
        give_credit(user, CREDIT_MICROS, now)
    _, raw = api_key_create(user=user, name="demo", now=now)
    return Login(email, password, raw)


def simulated(kind: str, number: int, now: datetime) -> User:
    """A simulated account of the market, marked as such: kind is "host" or "renter"."""
    user = _user(f"{kind}-{number}@simulated.spotyard.test")
    if not user.is_simulated:
        user.is_simulated = True
        user.set_unusable_password()
        user.save(update_fields=["is_simulated", "password"])
    if kind == "renter":
        give_credit(user, SIMULATED_CREDIT_MICROS, now)
    return user


def give_credit(user: User, amount_micros: int, now: datetime) -> None:
    """Demo credit, once for each account."""
    credit_grant(
        user=user,
        amount_micros=amount_micros,
        actor=None,
        reason="demo credit",
        idempotency_key=f"demo-credit:{user.pk}",
        now=now,
    )


def _user(email: str) -> User:
    user = User.objects.filter(email=email).first() or User.objects.create_user(email)
    EmailAddress.objects.get_or_create(user=user, email=email, defaults={"verified": True, "primary": True})
    return user
