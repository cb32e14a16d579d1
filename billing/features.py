"""Whether a feature is there, for everybody or for one account. Staff switch features in the administration.

What was never switched is on. Rows are waffle's flags, kept in the cache that all processes share, so a switch takes
effect at once.
"""

from django.contrib.auth.base_user import AbstractBaseUser
from waffle import get_waffle_flag_model

from billing.domain.features import in_share


def feature_on(name: str, user: AbstractBaseUser | None = None) -> bool:
    """Whether the feature is there for everybody, or else for this account: chosen, or in the share that has it."""
    flag = get_waffle_flag_model().get(name)
    if flag.pk is None:
        return True
    if flag.everyone is not None or user is None:
        return bool(flag.everyone)
    return bool(flag.is_active_for_user(user)) or in_share(name, user.pk, flag.percent)
