"""The request that views behind a login get."""

from django.http import HttpRequest

from marketplace.models import User


class UserRequest(HttpRequest):
    """A request whose user is signed in; ``login_required`` has seen to it."""

    user: User
