"""Accounts at the payment provider and the cards saved there."""

from datetime import datetime
from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing.domain.errors import NoCardError
from billing.gateways import stripe as gateway
from billing.models import AutoBilling, BillingCustomer, Card
from billing.services.auto_billing import auto_billing_turn_off
from billing.services.payment_rows import owner_lock

CARDS_GONE = "no_card"


def customer_ensure(*, user: AbstractBaseUser, now: datetime) -> str:
    """The account's id at the provider, made there when first needed; killed halfway, the next call goes on.

    Raises PaymentsUnavailableError, PaymentRefusedError.
    """
    row, _ = BillingCustomer.objects.get_or_create(owner_id=user.pk, defaults={"key": uuid4(), "created_at": now})
    if row.provider_id is None:
        made = gateway.customer_create(key=str(row.key), account_id=user.pk, email=user.get_username())
        BillingCustomer.objects.filter(pk=row.pk, provider_id=None).update(provider_id=made)
        row.refresh_from_db()
    return str(row.provider_id)


def card_remove(*, user: AbstractBaseUser, card_id: int, now: datetime) -> None:
    """Have the provider forget a card. With the last one auto-billing ends.

    Raises NoCardError, PaymentsUnavailableError.
    """
    card = Card.objects.filter(pk=card_id, owner_id=user.pk, removed_at=None).first()
    if card is None:
        raise NoCardError("There is no such card.")
    gateway.card_detach(card.provider_id)
    cards_sync(owner_id=user.pk, now=now)


@transaction.atomic
def card_make_default(*, user: AbstractBaseUser, card_id: int) -> None:
    """The card that auto-billing charges from now on. Raises NoCardError."""
    owner_lock(user.pk)
    if not Card.objects.filter(pk=card_id, owner_id=user.pk, removed_at=None).exists():
        raise NoCardError("There is no such card.")
    _set_default(user.pk, card_id)
    _forgive(user.pk)


def cards_sync(*, owner_id: int, now: datetime) -> None:
    """Make our record of the account's cards equal to the provider's. Raises PaymentsUnavailableError."""
    customer = BillingCustomer.objects.filter(owner_id=owner_id).exclude(provider_id=None).first()
    if customer is not None:
        _cards_apply(owner_id, gateway.cards_of(str(customer.provider_id)), now)


@transaction.atomic
def _cards_apply(owner_id: int, facts: list[gateway.CardFact], now: datetime) -> None:
    owner_lock(owner_id)
    told = [fact.card_id for fact in facts]
    gone = Card.objects.filter(owner_id=owner_id, removed_at=None).exclude(provider_id__in=told)
    gone.update(removed_at=now, is_default=False)
    known = set(Card.objects.filter(provider_id__in=told).values_list("provider_id", flat=True))
    for fact in reversed(facts):
        _card_write(owner_id, fact, now)
    if set(told) - known:
        _set_default(owner_id, Card.objects.get(provider_id=facts[0].card_id).pk)
        _forgive(owner_id)
    _keep_one_default(owner_id, now)


def _card_write(owner_id: int, fact: gateway.CardFact, now: datetime) -> None:
    values = {
        "brand": fact.brand[:20],
        "last4": fact.last4,
        "exp_month": fact.exp_month,
        "exp_year": fact.exp_year,
        "removed_at": None,
    }
    Card.objects.update_or_create(
        provider_id=fact.card_id, defaults=values, create_defaults={**values, "owner_id": owner_id, "added_at": now}
    )


def _keep_one_default(owner_id: int, now: datetime) -> None:
    """Whoever has a card has one that is charged; without any there is no auto-billing."""
    cards = Card.objects.filter(owner_id=owner_id, removed_at=None)
    if cards.filter(is_default=True).exists():
        return
    newest = cards.order_by("-pk").first()
    if newest is not None:
        _set_default(owner_id, newest.pk)
    else:
        auto_billing_turn_off(owner_id=owner_id, reason=CARDS_GONE, now=now)


def _set_default(owner_id: int, card_id: int) -> None:
    Card.objects.filter(owner_id=owner_id, is_default=True).exclude(pk=card_id).update(is_default=False)
    Card.objects.filter(pk=card_id).update(is_default=True)


def _forgive(owner_id: int) -> None:
    """Another card: what the last one was refused for no longer counts."""
    AutoBilling.objects.filter(owner_id=owner_id).update(failures=0, next_attempt_at=None)
