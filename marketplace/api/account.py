"""The caller's account."""

from typing import Any

from allauth.account.models import EmailAddress
from django.db import transaction
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
from billing.services import auto_billing_set
from marketplace.api.instance_json import dollars
from marketplace.api.schema import ANY_OBJECT
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.models import User
from marketplace.selectors import ssh_keys_of
from marketplace.services.profile import profile_set

SETTABLE = frozenset({"fullname", "balance_threshold", "balance_threshold_enabled"})
MOST_NAME = 150


class CurrentUser(AccountView):
    """Who the key belongs to, and its money at this instant."""

    @extend_schema(responses=ANY_OBJECT, summary="Show the account")
    def get(self, request: Request) -> HttpResponse:
        return reply(_account(caller(request)))


class Account(AccountView):
    """What the caller's account says of itself, and when its card is charged."""

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Change the account")
    def put(self, request: Request) -> HttpResponse:
        user, fields = caller(request), Fields(request.data)
        fields.refuse_unknown(SETTABLE)
        with transaction.atomic():
            if "balance_threshold" in fields or "balance_threshold_enabled" in fields:
                _set_auto_billing(user, fields)
            if "fullname" in fields:
                profile_set(user=user, full_name=fields.text("fullname")[:MOST_NAME])
        return reply({"success": True, **_account(user)})


def _set_auto_billing(user: User, fields: Fields) -> None:
    """What is not named stays as it was agreed to."""
    terms = auto_billing_of(user)
    named = "balance_threshold_enabled" in fields
    auto_billing_set(
        user=user,
        enabled=fields.flag("balance_threshold_enabled") if named else terms.enabled,
        threshold_micros=fields.micros("balance_threshold", terms.threshold_micros),
        mode=terms.mode,
        amount_micros=terms.amount_micros,
        now=timezone.now(),
    )


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
        "can_pay": credit > 0 or card is not None,
        "balance_threshold": dollars(auto.threshold_micros),
        "balance_threshold_enabled": auto.enabled,
        "password_resettable": True,
        "simulated": user.is_simulated,
    }
