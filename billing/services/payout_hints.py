"""What events of providers do: they make rows due to be asked about. What is true the provider is asked itself."""

from datetime import datetime

from django.db.models import Q

from billing.domain.payouts import SENT_ON, Provider
from billing.gateways import paypal, stripe_connect
from billing.gateways.carrier import Hint
from billing.models import Payout, PayoutMethod, ProviderEvent


def stripe_payout_event(event: ProviderEvent, now: datetime) -> bool:
    """Follows an event of Stripe's about transfers, or about the accounts of hosts; whether it was about ours."""
    return bool(hint_follow(provider=Provider.STRIPE, hint=stripe_connect.hint_of(event.payload), now=now))


def paypal_payout_event(event: ProviderEvent, now: datetime) -> bool:
    """Follows an event of PayPal's; whether it was about a payout of ours."""
    return bool(hint_follow(provider=Provider.PAYPAL, hint=paypal.hint_of(event.payload), now=now))


def hint_follow(*, provider: str, hint: Hint, now: datetime) -> int:
    """Has the payouts and accounts that a provider's event is about looked at next; returns how many rows there are.

    Events may be doubled, late, in any order or lost: all they do is save waiting.
    """
    found = 0
    if hint.account_id:
        methods = PayoutMethod.objects.filter(provider=provider, account_id=hint.account_id)
        found += methods.update(refresh_at=now)
    named = Q()
    if hint.transfer_id:
        named |= Q(transfer_id=hint.transfer_id)
    if hint.item_id:
        named |= Q(item_id=hint.item_id)
    if named:
        sent = Payout.objects.filter(named, provider=provider, state__in=SENT_ON)
        found += sent.update(next_at=now)
    return found
