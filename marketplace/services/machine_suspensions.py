"""What a machine's suspension by staff means for its offers, for who is on it, and for its host."""

from datetime import datetime

from hosting.models import Machine
from marketplace.domain import instance_states as states
from marketplace.domain import notices
from marketplace.locks import lock_runners, share_machine
from marketplace.models import Instance
from marketplace.services.clearing import machine_clear
from marketplace.services.notices import account_notice_post, notice_post
from marketplace.services.stopping import instance_stop_now

EVICTED = "The marketplace has suspended this machine and stopped what ran on it. Your disk is kept."


def machine_withdraw(*, machine: Machine, evicts: bool, now: datetime) -> None:
    """Retire the offers of the locked machine; ``evicts`` stops whoever runs or waits there. Tells all concerned."""
    active = Instance.objects.filter(machine=machine, state__in=states.CAN_STOP).order_by("pk")
    lock_runners([machine.pk], payer_ids=active.values_list("client_id", flat=True))
    if evicts:
        for instance in active.select_related("task", "client"):
            _evict(instance, machine, now)
    machine_clear(machine=machine, now=now)
    text = (
        f"Machine {machine.pk} ({machine.hostname}) is suspended: nothing new begins on it. "
        f"The reason: {machine.suspended_reason} Answer this mail if that is wrong."
    )
    _tell_host(machine, notices.MACHINE_SUSPENDED, "is suspended", text, now)


def machine_readmit(*, machine: Machine, now: datetime) -> None:
    """Offer the locked machine again, at the terms of its listing, and tell its host."""
    lock_runners([machine.pk])
    machine_clear(machine=machine, now=now)
    text = f"Machine {machine.pk} ({machine.hostname}) may be rented again, if it is listed."
    _tell_host(machine, notices.MACHINE_RESTORED, "is back on the market", text, now)


def _evict(instance: Instance, machine: Machine, now: datetime) -> None:
    share_machine(instance, machine)
    instance_stop_now(
        instance=instance, actor=None, billed_until=now, now=now, reason="machine_suspended", message=EVICTED
    )
    notice_post(
        instance=instance,
        kind=notices.SUSPENDED,
        key=f"instance:{instance.pk}:suspended:{now.isoformat()}",
        subject=f"Instance {instance.pk} was stopped",
        text=f"{EVICTED} Copy what you need from it, or rent another machine.",
        now=now,
        data={"reason": "machine_suspended"},
    )


def _tell_host(machine: Machine, kind: str, what: str, text: str, now: datetime) -> None:
    account_notice_post(
        owner_id=machine.host_id,
        kind=kind,
        key=f"machine:{machine.pk}:{kind}:{now.isoformat()}",
        subject=f"Machine {machine.pk} {what}",
        text=text,
        now=now,
        data={"machine_id": machine.pk},
    )
