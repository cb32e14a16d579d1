"""What providers tell of payouts and of hosts' accounts. They are answered 2xx once what they say is noted."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import services
from billing.gateways.carrier import BusyError, ForgedError, UnknownOutcomeError


@csrf_exempt
@require_POST
def stripe_connect(request: HttpRequest) -> HttpResponse:
    """Stripe, about the accounts of hosts."""
    try:
        services.stripe_connect_event_take(
            payload=request.body, signature=request.headers.get("Stripe-Signature", ""), now=timezone.now()
        )
    except ForgedError:
        return HttpResponse("not signed by Stripe", status=400, content_type="text/plain")
    return HttpResponse(status=200)


@csrf_exempt
@require_POST
def paypal(request: HttpRequest) -> HttpResponse:
    """PayPal, about payouts."""
    try:
        services.paypal_event_take(payload=request.body, headers=request.headers, now=timezone.now())
    except ForgedError:
        return HttpResponse("not sent by PayPal", status=400, content_type="text/plain")
    except (BusyError, UnknownOutcomeError):
        return HttpResponse("try again later", status=503, content_type="text/plain")
    return HttpResponse(status=200)
