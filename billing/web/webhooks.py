"""Where payment providers tell what happened. What is signed is written down; the rest is refused."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import services
from billing.domain.errors import ForgedEventError, PaymentsUnavailableError
from billing.gateways import carriers, stripe_connect
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
    return _received(gateway.PROVIDER, fact)


@csrf_exempt
@require_POST
def stripe_connect_accounts(request: HttpRequest) -> HttpResponse:
    """An event of Stripe's about the accounts of hosts, which are signed with a secret of their own."""
    try:
        fact = stripe_connect.webhook_event(request.body, request.headers.get("Stripe-Signature", ""))
    except ForgedEventError as error:
        return HttpResponse(error.message, status=400, content_type="text/plain")
    return _received(stripe_connect.EVENTS, fact)


@csrf_exempt
@require_POST
def paypal(request: HttpRequest) -> HttpResponse:
    """An event of PayPal's, which is asked whether it sent it; 503 when it does not say."""
    try:
        fact = carriers.paypal_event(request.body, request.headers)
    except ForgedEventError as error:
        return HttpResponse(error.message, status=400, content_type="text/plain")
    except PaymentsUnavailableError as error:
        return HttpResponse(error.message, status=503, content_type="text/plain")
    return _received(carriers.PAYPAL_EVENTS, fact)


def _received(provider: str, fact: gateway.EventFact) -> HttpResponse:
    services.event_receive(
        provider=provider,
        event_id=fact.event_id,
        event_type=fact.type,
        payload=fact.payload,
        now=timezone.now(),
    )
    hint_events()
    return HttpResponse("Thank you.", content_type="text/plain")
