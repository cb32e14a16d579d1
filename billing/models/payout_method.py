"""Payout methods: where a host's money goes."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q


class ProviderName(models.TextChoices):
    STRIPE = "stripe", "Bank account (Stripe)"
    PAYPAL = "paypal", "PayPal"


class PayoutMethodState(models.TextChoices):
    PENDING = "pending", "Not finished"
    READY = "ready", "Ready"
    RESTRICTED = "restricted", "Restricted"


class PayoutMethod(models.Model):
    """A host's account with a provider, as the provider last described it. A host has one."""

    host = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="payout_method")
    provider = models.CharField(max_length=8, choices=ProviderName.choices)
    country = models.CharField(max_length=2, help_text="ISO 3166-1, such as US.")
    account_id = models.CharField(
        max_length=100, blank=True, default="", help_text="The account at the provider; empty until there is one."
    )
    label = models.CharField(max_length=200, blank=True, default="", help_text="What the host knows it by.")
    state = models.CharField(max_length=12, choices=PayoutMethodState.choices, default=PayoutMethodState.PENDING)
    problem = models.CharField(max_length=300, blank=True, default="")
    setup = models.IntegerField(default=1, help_text="Counts the host's choices; names the account made for each.")
    changed_at = models.DateTimeField()
    refresh_at = models.DateTimeField(
        null=True, blank=True, db_index=True, help_text="When the provider is asked about the account next."
    )

    objects: ClassVar[models.Manager["PayoutMethod"]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(provider__in=ProviderName.values), name="billing_method_provider_known"),
            models.CheckConstraint(condition=Q(state__in=PayoutMethodState.values), name="billing_method_state_known"),
            models.CheckConstraint(
                condition=Q(state=PayoutMethodState.PENDING) | ~Q(account_id=""), name="billing_method_has_account"
            ),
        ]
        indexes = [models.Index(fields=["account_id"], name="billing_method_account")]

    def __str__(self) -> str:
        return f"{self.provider} of account {self.host_id}"
