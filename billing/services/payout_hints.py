"""What webhooks of providers do: they make rows due to be asked about. What is true the provider is asked itself."""

from collections.abc import Mapping
from datetime import datetime

from django.conf import settings
from django.db.models import Q

from billing.domain.payouts import PayoutState, Provider
from billing.gateways import carriers, stripe_connect
from billing.gateways.carrier import ForgedError, Hint
from billing.models import Payout, PayoutMethod


def stripe_connect_event_take(*, payload: bytes, signature: str, now: datetime) -> int:
    """Follows an event about hosts' accounts; returns how many rows it made due. Raises ForgedError."""
    secret = settings.STRIPE_CONNECT_WEBHOOK_SECRET
    if not secret:
        raise ForgedError("no secret is set for this webhook")
    return hint_follow(provider=Provider.STRIPE, hint=stripe_connect.hint_of(payload, signature, secret), now=now)


def paypal_event_take(*, payload: bytes, headers: Mapping[str, str], now: datetime) -> int:
    """Follows an event of PayPal's, which is asked whether it sent it: not in a transaction.

    Returns how many rows it made due. Raises ForgedError, and UnknownOutcomeError or BusyError when PayPal does not
    say.
    """
    hint = carriers.paypal().hint_of(payload, headers, settings.PAYPAL_WEBHOOK_ID)
    return hint_follow(provider=Provider.PAYPAL, hint=hint, now=now)


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
        sent = Payout.objects.filter(named, provider=provider, state__in=(PayoutState.SENT, PayoutState.PAID))
        found += sent.update(next_at=now)
    return found
