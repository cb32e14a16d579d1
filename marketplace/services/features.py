"""Staff switch features."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from waffle import get_waffle_flag_model

from marketplace.domain.features import FEATURES
from marketplace.errors import MarketError
from marketplace.models import User
from marketplace.services.audit import audit_record


def features_list() -> None:
    """Have a row for each feature, so that each can be switched; what is new is on for everybody."""
    flags = get_waffle_flag_model()
    known = set(flags.objects.values_list("name", flat=True))
    for name in FEATURES.keys() - known:
        flags.objects.get_or_create(name=name, defaults={"everyone": True})


@transaction.atomic
def feature_switch(
    *,
    name: str,
    everyone: bool | None,
    percent: Decimal | None = None,
    accounts: Collection[User] = (),
    actor: User,
    now: datetime,
) -> None:
    """On or off for everybody; with None for these accounts, and for this share of all others.

    Raises MarketError: no_such_feature (404), invalid_args where a feature that is no single account's is to be given
    to some.
    """
    feature = FEATURES.get(name)
    if feature is None:
        raise MarketError("no_such_feature", f"There is no feature {name}.", status=404)
    if everyone is None and not feature.by_account:
        raise MarketError("invalid_args", "This one is on or off for everybody.", field="everyone")
    flag, _ = get_waffle_flag_model().objects.get_or_create(name=name)
    flag.everyone, flag.percent, flag.superusers = everyone, percent, False
    flag.save()
    flag.users.set(accounts)
    flag.flush()
    said = "for some" if everyone is None else "on" if everyone else "off"
    details = {"percent": str(percent or 0), "accounts": sorted(account.pk for account in accounts)}
    audit_record(
        action="feature.switched", actor=actor, now=now, about=("feature", name), message=said, details=details
    )
