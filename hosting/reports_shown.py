"""Clients' reports as hosts and clients see them."""

from collections.abc import Collection

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Case, Count, QuerySet, When

from hosting.domain.machine_reports import OPEN
from hosting.models import Machine, MachineReport

SHOWN = 20


def reports_of(machine: Machine) -> QuerySet[MachineReport]:
    """The machine's reports, open ones first, then the latest."""
    waits = Case(When(state=OPEN, then=0), default=1)
    return MachineReport.objects.filter(machine=machine).order_by(waits, "-pk")


def own_reports(reporter: AbstractBaseUser, machine_id: int) -> QuerySet[MachineReport]:
    """What the account has reported of the machine, the latest first."""
    return MachineReport.objects.filter(machine_id=machine_id, reporter_id=reporter.pk).order_by("-pk")


def open_reports(machine_ids: Collection[int]) -> dict[int, int]:
    """How many reports of each machine wait for an answer; machines without any are left out."""
    rows = MachineReport.objects.filter(machine_id__in=machine_ids, state=OPEN).order_by()
    return dict(rows.values_list("machine_id").annotate(number=Count("pk")))
