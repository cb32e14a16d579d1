"""Credit grants, as the admin lists and adds them."""

from typing import ClassVar

from django.db import models

from billing.models.entry import Entry, EntryKind


class CreditGrantManager(models.Manager["CreditGrant"]):
    def get_queryset(self) -> "models.QuerySet[CreditGrant]":
        return super().get_queryset().filter(kind=EntryKind.CREDIT_GRANT)


class CreditGrant(Entry):
    """The entries by which staff gave credit."""

    objects: ClassVar[CreditGrantManager] = CreditGrantManager()

    class Meta:
        proxy = True
