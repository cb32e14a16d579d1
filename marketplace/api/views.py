"""What all views of the public API share."""

from typing import Any

from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from marketplace.errors import MarketError
from marketplace.models import User


class AccountView(APIView):
    """A view for callers with an API key."""


class PublicView(APIView):
    """A view for anyone. A key that is sent along must still be valid."""

    permission_classes = [AllowAny]


class UnknownView(PublicView):
    """The answer at every address of the API that means nothing."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuses here, before the method is looked at: it may be any word at all, also the name of an attribute."""
        super().initial(request, *args, **kwargs)
        raise MarketError("no_such_endpoint", f"The API has no {request.method} {request.path}.", status=404)


def caller(request: Request) -> User:
    """The account behind the request's key."""
    user = request.user
    assert isinstance(user, User), "an AccountView lets nobody else in"  # noqa: S101 - tells the type checker
    return user
