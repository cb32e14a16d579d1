"""The same change for several instances, all or none."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.locks import lock_machine
from marketplace.access import instance_for
from marketplace.locks import lock_runners

Change = Callable[..., Any]
"""A service of lifecycle that takes ``instance_id``, ``actor`` and ``now``."""


@transaction.atomic
def instances_change(
    *, user: AbstractBaseUser, instance_ids: Iterable[int], change: Change, now: datetime
) -> list[int]:
    """Apply ``change`` to the user's instances; returns their ids. When one is missing or refuses, none changes.

    Raises MarketError: no_such_instance (404), and what ``change`` refuses.
    """
    instances = [instance_for(user, pk) for pk in sorted(set(instance_ids))]
    machine_ids = sorted({instance.machine_id for instance in instances})
    for machine_id in machine_ids:
        lock_machine(machine_id)  # all of them before the ledger accounts that the first change may lock
    lock_runners(machine_ids, payer_ids=[user.pk])
    for instance in instances:
        change(instance_id=instance.pk, actor=user, now=now)
    return [instance.pk for instance in instances]
