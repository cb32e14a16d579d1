"""Every refusal of the API is a JSON object: ``{"success": false, "error": code, "msg": sentence}``."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from billing.domain.errors import BillingError
from hosting.errors import HostingError
from marketplace.errors import MarketError

logger = logging.getLogger(__name__)

REFUSALS = (MarketError, HostingError, BillingError)
_CODES: dict[type[exceptions.APIException], str] = {
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.AuthenticationFailed: "invalid_api_key",
    exceptions.PermissionDenied: "forbidden",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.ParseError: "invalid_json",
    exceptions.Throttled: "too_many_requests",
    exceptions.NotFound: "not_found",
}
_SENTENCES: dict[type[exceptions.APIException], str] = {
    exceptions.NotAuthenticated: "This needs an API key: send the header Authorization: Bearer KEY.",
    exceptions.UnsupportedMediaType: "Send the body as JSON with the header Content-Type: application/json.",
}


def refusal(code: str, message: str, status: int, *, field: str | None = None) -> Response:
    """The answer to a request that is refused."""
    body: dict[str, Any] = {"success": False, "error": code, "msg": message}
    return Response(body | {"field": field} if field else body, status=status)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Any exception of a view as a refusal; unexpected ones are logged and told to Django's signal as usual."""
    if isinstance(error, REFUSALS):
        field = getattr(error, "field", None)
        return refusal(error.code, error.message, getattr(error, "status", 400), field=field)
    if isinstance(error, exceptions.APIException):
        return _framework_refusal(error)
    if isinstance(error, Http404):
        return refusal("not_found", "There is nothing here.", 404)
    if isinstance(error, PermissionDenied):
        return refusal("forbidden", "You may not do this.", 403)
    if isinstance(error, RecursionError):
        return refusal("invalid_json", "The body is nested too deeply.", 400)
    request = context["request"]
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    got_request_exception.send(sender=None, request=request)
    return refusal("internal_error", "Something went wrong on our side. Nothing was changed; try again.", 500)


def _framework_refusal(error: exceptions.APIException) -> Response:
    message = _SENTENCES.get(type(error), str(error.detail))
    answer = refusal(_CODES.get(type(error), "invalid_request"), message, error.status_code)
    header = getattr(error, "auth_header", None)
    if header:
        answer["WWW-Authenticate"] = header
    wait_seconds = getattr(error, "wait", None)
    if wait_seconds is not None:
        answer["Retry-After"] = str(max(1, round(wait_seconds)))
    return answer
