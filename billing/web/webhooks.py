"""Where payment providers tell what happened. What is signed is written down; the rest is refused."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import services
from billing.domain.errors import ForgedEventError
from billing.gateways import stripe as gateway
from billing.gateways.event_hint import hint_events


@csrf_exempt
@require_POST
def stripe(request: HttpRequest) -> HttpResponse:
    """An event of Stripe's. 400 unless Stripe signed it; 200 as soon as it is written down."""
    try:
        fact = gateway.webhook_event(request.body, request.headers.get("Stripe-Signature", ""))
    except ForgedEventError as error:
        return HttpResponse(error.message, status=400, content_type="text/plain")
    services.event_receive(
        provider=gateway.PROVIDER,
        event_id=fact.event_id,
        event_type=fact.type,
        payload=fact.payload,
        now=timezone.now(),
    )
    hint_events()
    return HttpResponse("Thank you.", content_type="text/plain")
