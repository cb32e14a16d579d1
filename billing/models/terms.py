"""What was agreed with one account, where it differs from what all have."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q


class AccountTerms(models.Model):
    """Staff's decisions about an account's money; an account without a row has the installation's defaults."""

    owner = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="money_terms")
    host_share_bps = models.PositiveIntegerField(
        null=True, blank=True, help_text="The host's part of new contracts, in hundredths of a percent."
    )
    spend_limit_micros_per_hour = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="The most the client may spend an hour, in micro-dollars, whatever its history.",
    )
    payouts_held_reason = models.CharField(
        max_length=300, blank=True, default="", help_text="Nothing is paid out to the host while this is not empty."
    )

    objects: ClassVar[models.Manager["AccountTerms"]] = models.Manager()

    class Meta:
        verbose_name_plural = "account terms"
        constraints = [
            models.CheckConstraint(
                condition=Q(host_share_bps__isnull=True) | Q(host_share_bps__lte=10_000),
                name="billing_terms_share_in_range",
            ),
            models.CheckConstraint(
                condition=Q(spend_limit_micros_per_hour__isnull=True) | Q(spend_limit_micros_per_hour__gte=0),
                name="billing_terms_limit_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"terms of account {self.owner_id}"
