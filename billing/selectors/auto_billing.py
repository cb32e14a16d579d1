"""Who is to be charged, and what clients agreed to."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Exists, OuterRef, Q

from billing.domain.payment_states import IN_FLIGHT
from billing.models import AutoBilling, LedgerAccount, Payment, PaymentPurpose


def due_owner_ids(now: datetime) -> list[int]:
    """Clients whose balance is under their threshold at ``now`` and who wait for nothing: no charge in flight, no
    retry later."""
    in_flight = Payment.objects.filter(owner_id=OuterRef("owner_id"), purpose=PaymentPurpose.AUTO, state__in=IN_FLIGHT)
    ready = AutoBilling.objects.filter(
        Q(next_attempt_at=None) | Q(next_attempt_at__lte=now), owner_id=OuterRef("owner_id"), enabled=True
    )
    accounts = LedgerAccount.objects.filter(Exists(ready), ~Exists(in_flight), threshold_at__lte=now)
    return [pk for pk in accounts.order_by("pk").values_list("owner_id", flat=True) if pk is not None]


def auto_billing_of(user: AbstractBaseUser) -> AutoBilling:
    """What the client agreed to; what it is offered when it never did."""
    return AutoBilling.objects.filter(owner_id=user.pk).first() or AutoBilling(owner_id=user.pk)
