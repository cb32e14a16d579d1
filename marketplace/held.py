"""The middleware of the process that holds agents' requests open.

Each middleware that can't wait on the event loop sends every request through a thread and back, and pages need many of
that kind. Agents need none of those: without them a request of theirs takes two thirds of the time.
"""

from collections.abc import Awaitable, Callable

from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.utils.decorators import async_only_middleware

AsyncGetResponse = Callable[[HttpRequest], Awaitable[HttpResponse]]
PARTS = ("/api/agent/", "/healthz/")
MIDDLEWARE = [
    "django_structlog.middlewares.RequestMiddleware",
    "marketplace.held.only_agents",
    "allauth.account.middleware.AccountMiddleware",  # it does nothing here, but allauth does not start without it
]
"""All of it can wait on the event loop."""


@async_only_middleware
def only_agents(get_response: AsyncGetResponse) -> AsyncGetResponse:
    """Answers agents, and whoever asks whether we are well; pages would lack half of what protects them."""

    async def answer(request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(PARTS):
            return HttpResponseNotFound("Pages are at another address.\n", content_type="text/plain")
        return await get_response(request)

    return answer
