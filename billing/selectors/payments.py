"""Cards and payments of a client, as its pages and the API show them."""

from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser

from billing.models import Card, Payment


def cards_of(user: AbstractBaseUser) -> list[Card]:
    """The saved cards, the one that auto-billing charges first."""
    return list(Card.objects.filter(owner_id=user.pk, removed_at=None).order_by("-is_default", "-pk"))


def default_card(user: AbstractBaseUser) -> Card | None:
    """The card that auto-billing charges; None when no card is saved."""
    return Card.objects.filter(owner_id=user.pk, is_default=True).first()


def payments_of(user: AbstractBaseUser, limit: int = 50) -> list[Payment]:
    """The newest payments, newest first, with their cards, refunds and disputes."""
    payments = Payment.objects.filter(owner_id=user.pk).select_related("card")
    return list(payments.prefetch_related("refunds", "disputes").order_by("-pk")[:limit])


def payment_by_key(user: AbstractBaseUser, key: UUID) -> Payment | None:
    """The user's payment that was begun under this key; None when there is none."""
    return Payment.objects.filter(owner_id=user.pk, key=key).first()
