"""Takes API keys out of addresses before anything that might log an address sees them."""

from collections.abc import Callable
from urllib.parse import parse_qsl, quote_plus

from django.http import HttpRequest, HttpResponse

PARAMETER = "api_key"


class QueryKeyMiddleware:
    """Moves ``?api_key=KEY``, which old clients send, into the Authorization header. It must come first."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = request.META.get("QUERY_STRING", "")
        if PARAMETER in query:
            _move_key(request, query)
        return self.get_response(request)


def _move_key(request: HttpRequest, query: str) -> None:
    pairs = parse_qsl(query, keep_blank_values=True)
    keys = [value for name, value in pairs if name == PARAMETER]
    if not keys:
        return
    rest = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs if name != PARAMETER)
    request.META["QUERY_STRING"] = rest
    for name in ("RAW_URI", "REQUEST_URI"):  # servers keep the address as it came, and write it to their access logs
        if name in request.META:
            address = request.META[name].partition("?")[0]
            request.META[name] = f"{address}?{rest}" if rest else address
    request.META.setdefault("HTTP_AUTHORIZATION", f"Bearer {keys[0]}")
