"""Holds: an amount of a host's earnings that is not paid out for now."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.domain.payout_holds import FORFEITED, HELD, OPEN, TRANSITIONS
from billing.models.adjustment import AdjustmentRequest


class PayoutHold(models.Model):
    """What a rule of the marketplace keeps of a host's earnings while a case is open, and after it was upheld.

    Changed under the lock of the host's earnings. Staff's holds of all payouts are in ``AccountTerms``.
    """

    host = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="payout_holds")
    reference = models.CharField(max_length=60, unique=True, help_text="The case, such as verification_case:12.")
    earner = models.CharField(max_length=60, help_text="What earned it, such as machine:7.")
    since = models.DateTimeField(help_text="Earned after this instant.")
    held_at = models.DateTimeField(help_text="Earned up to this instant, and held since.")
    amount_micros = models.BigIntegerField(help_text="The host's part.")
    reason = models.CharField(max_length=300, help_text="The host sees it.")
    state = models.CharField(max_length=10, choices=[(state, state) for state in TRANSITIONS], default=HELD)
    ended_at = models.DateTimeField(null=True, blank=True)
    forfeiture = models.ForeignKey(
        AdjustmentRequest,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="payout_holds",
        help_text="The last request to keep it.",
    )

    objects: ClassVar[models.Manager["PayoutHold"]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=list(TRANSITIONS)), name="billing_hold_state_known"),
            models.CheckConstraint(condition=Q(amount_micros__gt=0), name="billing_hold_holds_something"),
            models.CheckConstraint(condition=Q(since__lte=F("held_at")), name="billing_hold_window_in_order"),
            models.CheckConstraint(
                condition=Q(state__in=OPEN, ended_at__isnull=True) | (~Q(state__in=OPEN) & Q(ended_at__isnull=False)),
                name="billing_hold_ended_when_final",
            ),
            models.CheckConstraint(
                condition=~Q(state=FORFEITED) | Q(forfeiture__isnull=False), name="billing_hold_forfeited_by_request"
            ),
        ]
        indexes = [models.Index(fields=["host"], condition=Q(state__in=OPEN), name="billing_hold_open")]

    def __str__(self) -> str:
        return self.reference
