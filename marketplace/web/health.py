"""Says whether this process can do its work."""

from django.db import connection
from django.http import HttpRequest, JsonResponse

from hosting.gateways import presence


def healthz(_request: HttpRequest) -> JsonResponse:
    """200 when the database and Redis answer; an exception (500) otherwise."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    presence.client().ping()  # the cache would say nothing of a Redis that is away
    return JsonResponse({"status": "ok"})
