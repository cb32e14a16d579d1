"""What is on its way between us and the providers of payments."""

from dataclasses import dataclass

from billing.domain.payment_states import IN_FLIGHT
from billing.models import AdjustmentRequest, Payment, Payout, ProviderEvent, TermsRequest


@dataclass(frozen=True, slots=True)
class Flights:
    """How many of each."""

    payments: int
    payouts: int
    events: int
    adjustments: int
    """Requests that wait for a second person."""
    terms: int
    """Likewise."""


def flights() -> Flights:
    """Payments and payouts that have not ended, events not processed yet, and adjustments nobody has decided about."""
    return Flights(
        payments=Payment.objects.filter(state__in=IN_FLIGHT).count(),
        payouts=Payout.objects.filter(state__in=("created", "sending", "sent")).count(),
        events=ProviderEvent.objects.filter(state=ProviderEvent.State.RECEIVED).count(),
        adjustments=AdjustmentRequest.objects.filter(state="requested").count(),
        terms=TermsRequest.objects.filter(state="requested").count(),
    )
