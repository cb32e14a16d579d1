"""The caller's account."""

from typing import Any

from allauth.account.models import EmailAddress
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from billing.selectors import (
    auto_billing_of,
    balance_micros,
    default_card,
    host_earnings_micros,
    hourly_cost_micros,
    payout_method_of,
)
from marketplace.api.instance_json import dollars
from marketplace.api.schema import ANY_OBJECT
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import reply
from marketplace.models import User
from marketplace.selectors import ssh_keys_of


class CurrentUser(AccountView):
    """Who the key belongs to, and its money at this instant."""

    @extend_schema(responses=ANY_OBJECT, summary="Show the account")
    def get(self, request: Request) -> HttpResponse:
        return reply(_account(caller(request)))


def _account(user: User) -> dict[str, Any]:
    """``credit`` and ``balance`` are the same prepaid dollars; earnings of hosts stand apart."""
    now = timezone.now()
    credit = dollars(balance_micros(user, now))
    card, auto, method = default_card(user), auto_billing_of(user), payout_method_of(user)
    return {
        "id": user.pk,
        "email": user.email,
        "username": user.email,
        "user": user.email,
        "fullname": user.full_name,
        "email_verified": EmailAddress.objects.filter(user=user, verified=True).exists(),
        "host_agreement_accepted": user.host_agreement_accepted_at is not None,
        "credit": credit,
        "balance": credit,
        "hourly_cost": dollars(hourly_cost_micros(user)),
        "host_earnings": dollars(host_earnings_micros(user, now)),
        "ssh_key": next((key.public_key for key in ssh_keys_of(user)), None),
        "has_billing": card is not None,
        "last4": None if card is None else card.last4,
        "has_payout": method is not None and method.state == "ready",
        "paypal_email": method.label if method is not None and method.provider == "paypal" else None,
        "can_pay": credit > 0,
        "balance_threshold": dollars(auto.threshold_micros),
        "balance_threshold_enabled": auto.enabled,
        "password_resettable": True,
        "simulated": user.is_simulated,
    }
