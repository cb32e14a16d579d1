"""Longer lifetimes for contracts, granted by the host."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet

from hosting.domain.volumes import LIVE
from hosting.models import Machine
from marketplace.domain import instance_states as states
from marketplace.domain import notices
from marketplace.models import Instance
from marketplace.services.notices import notice_post
from marketplace.services.transition import instance_event
from marketplace.services.volumes import volumes_extend


def contracts_extend(*, machine: Machine, end_at: datetime, host: AbstractBaseUser, now: datetime) -> int:
    """Give every contract of the locked machine that ends earlier this later end; returns how many.

    Prices stay. One whose lifetime is over but whose disk is kept is extended too: its client may start it again.
    """
    extended = list(_contracts(machine).filter(end_at__lt=end_at).order_by("pk"))
    Instance.objects.filter(pk__in=[instance.pk for instance in extended]).update(end_at=end_at, lifetime_stage=0)
    for instance in extended:
        message = f"The host extended the lifetime from {_spelled(instance.end_at)} to {_spelled(end_at)}."
        instance_event(instance, "extended", now=now, actor=host, message=message)
        notice_post(
            instance=instance,
            kind=notices.EXTENDED,
            key=f"instance:{instance.pk}:extended:{end_at.isoformat()}",
            subject=f"Instance {instance.pk} may live longer",
            text=f"{message} Its prices stay as they are.",
            now=now,
            data={"end_at": end_at},
        )
    return len(extended) + len(volumes_extend(machine=machine, end_at=end_at))


def contract_ends(machine: Machine) -> list[datetime]:
    """When each contract of the machine ends, volumes included, the earliest first."""
    volumes = machine.volumes.filter(state__in=LIVE)
    ends = [*_contracts(machine).values_list("end_at", flat=True), *volumes.values_list("end_at", flat=True)]
    return sorted(ends)


def _contracts(machine: Machine) -> QuerySet[Instance]:
    return Instance.objects.filter(machine=machine).exclude(state__in=(states.DESTROYING, states.DESTROYED))


def _spelled(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
