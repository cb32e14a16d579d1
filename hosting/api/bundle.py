"""Where the agent itself is fetched, by the installer and by agents that replace themselves."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from agent.protocol import ErrorReply, encode
from hosting.gateways.agent_bundle import current_bundle

_KEPT_SECONDS = 24 * 3600


@require_safe
async def bundle(_request: HttpRequest, digest: str) -> HttpResponse:
    """The archive with this digest, if it is the one that machines are told of. No secret: it is free software."""
    current = await sync_to_async(current_bundle)()
    if digest != current.digest:
        refusal = ErrorReply(
            error="no_such_bundle",
            msg="This version of the agent is not offered (any more). The install script names the present one.",
        )
        return HttpResponse(encode(refusal), content_type="application/json", status=404)
    response = HttpResponse(current.content, content_type="application/gzip")
    response["Cache-Control"] = f"public, max-age={_KEPT_SECONDS}, immutable"
    return response
