"""Cards: what the provider told of them. Their numbers never come here."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q


class BillingCustomer(models.Model):
    """An account at the payment provider."""

    owner = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="billing_customer")
    key = models.UUIDField(unique=True, help_text="Makes a repeated request to the provider the same one.")
    provider_id = models.CharField(
        max_length=100, unique=True, null=True, blank=True, help_text="Empty until the provider has answered."
    )
    created_at = models.DateTimeField()

    objects: ClassVar[models.Manager["BillingCustomer"]] = models.Manager()

    def __str__(self) -> str:
        return f"account {self.owner_id} is {self.provider_id or 'not known yet'}"


class Card(models.Model):
    """A saved card. It stays on record after it was removed: payments name it."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="cards")
    provider_id = models.CharField(max_length=100, unique=True)
    brand = models.CharField(max_length=20)
    last4 = models.CharField(max_length=4)
    exp_month = models.PositiveSmallIntegerField()
    exp_year = models.PositiveSmallIntegerField()
    is_default = models.BooleanField(default=False, help_text="The one that auto-billing charges.")
    added_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager["Card"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner"], condition=Q(is_default=True), name="billing_card_one_default"),
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(removed_at__isnull=True), name="billing_card_default_is_there"
            ),
            models.CheckConstraint(condition=Q(exp_month__gte=1, exp_month__lte=12), name="billing_card_month_exists"),
        ]

    def __str__(self) -> str:
        return f"{self.brand} ending in {self.last4}"
