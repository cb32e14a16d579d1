"""What signing up depends on."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from billing.features import feature_on
from marketplace.domain.features import SIGN_UP


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """allauth asks here."""

    def is_open_for_signup(self, _request: HttpRequest) -> bool:
        """Whether anybody may open an account now."""
        return feature_on(SIGN_UP)
