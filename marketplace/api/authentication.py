"""Who calls the API: the account whose key the request carries."""

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from marketplace.errors import MarketError
from marketplace.models import User
from marketplace.selectors import user_by_api_key

SCHEME = "Bearer"


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer KEY``. Keys in the query string of old clients are moved here by the middleware."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        scheme, _, key = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        user = user_by_api_key(key.strip(), timezone.now())
        if user is None:
            raise AuthenticationFailed("This API key is not valid. Create one on your account page.")
        if user.suspended_at is not None:
            raise MarketError("account_suspended", f"Your account is suspended. {user.suspended_reason}", status=403)
        return user, None

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework's signature
        return SCHEME


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its metaclass is untyped
    """How the published schema describes the key."""

    target_class = "marketplace.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:  # noqa: ARG002 - the framework's signature
        return {"type": "http", "scheme": SCHEME.lower(), "description": "An API key from your account page."}
