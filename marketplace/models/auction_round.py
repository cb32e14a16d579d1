"""Auction rounds: what decisions about who runs rest on."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from hosting.models import Machine


class AuctionRound(models.Model):
    """One clearing that changed who runs on a machine: its whole input and what came of it. Never edited.

    ``marketplace.domain.auction.clear`` and ``assignment.assign`` give the same for the same input, so a dispute can be
    settled by replaying the row.
    """

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="auction_rounds")
    at = models.DateTimeField()
    gpus = ArrayField(models.BigIntegerField(), help_text="Usable GPUs, by index.")
    claims = models.JSONField(help_text="All that took part; micro-dollars per hour for all GPUs of each.")
    policy = models.JSONField(help_text="Floor per GPU and hour in micro-dollars; margin of running bids in 1/100 %.")
    runs = models.JSONField(help_text="GPUs of each winner, by instance.")
    displaced = ArrayField(models.BigIntegerField(), help_text="Instances that had to leave.")

    class Meta:
        indexes = [models.Index(fields=["machine", "-at"])]

    def __str__(self) -> str:
        return f"machine {self.machine_id} at {self.at:%Y-%m-%d %H:%M:%S}"
