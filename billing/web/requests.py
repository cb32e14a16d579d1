"""The request that views behind a login get."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest


class AccountRequest(HttpRequest):
    """A request whose user is signed in; ``login_required`` has seen to it."""

    user: AbstractBaseUser  # type: ignore[assignment]  # the stubs put the account model here, which lies above us
