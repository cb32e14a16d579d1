"""Requests to agree with an account on more than it has."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.domain.terms import AGREED, OVERTAKEN, REJECTED, REQUESTED, STATES, WHOLE_BPS


class TermsRequest(models.Model):
    """One member of the staff asks, another one decides; what is agreed is then the account's terms."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    host_share_bps = models.PositiveIntegerField(null=True, blank=True)
    spend_limit_micros_per_hour = models.BigIntegerField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=[(state, state) for state in STATES], default=REQUESTED)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager["TermsRequest"]] = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=STATES), name="billing_terms_request_state_known"),
            models.CheckConstraint(
                condition=(Q(host_share_bps__isnull=True) | Q(host_share_bps__lte=WHOLE_BPS))
                & (Q(spend_limit_micros_per_hour__isnull=True) | Q(spend_limit_micros_per_hour__gte=0)),
                name="billing_terms_request_in_range",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
                name="billing_terms_request_two_persons",
            ),
            models.CheckConstraint(
                condition=Q(state=REQUESTED, decided_by__isnull=True, decided_at__isnull=True)
                | Q(state__in=(AGREED, REJECTED), decided_by__isnull=False, decided_at__isnull=False)
                | Q(state=OVERTAKEN, decided_by__isnull=True, decided_at__isnull=False),
                name="billing_terms_request_decided_whole",
            ),
            models.UniqueConstraint(fields=["owner"], condition=Q(state=REQUESTED), name="billing_terms_request_open"),
        ]

    def __str__(self) -> str:
        return f"terms of account {self.owner_id}: {self.state}"
