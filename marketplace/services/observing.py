"""Turns what agents observe into the states of instances. Registered with hosting as its MarketHooks."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser

from hosting.models import Gpu, Machine, MachineReport, QuietPeriod, Task, Volume
from hosting.services.tasks import task_stop
from hosting.volumes import volume_owner_ids
from marketplace.domain import instance_states as states
from marketplace.domain import notices
from marketplace.locks import lock_runners, share_machine
from marketplace.models import Instance, User
from marketplace.services.audit import audit_record
from marketplace.services.clearing import machine_clear
from marketplace.services.extending import contract_ends, contracts_extend
from marketplace.services.gpu_notices import gpu_notices_post
from marketplace.services.machine_reports import report_answered_tell, report_filed_tell
from marketplace.services.machine_suspensions import machine_readmit, machine_withdraw
from marketplace.services.maintenance_notices import maintenance_end_tell, maintenance_tell
from marketplace.services.metering import (
    gpu_time_ends,
    gpu_time_starts,
    storage_ends,
    storage_starts,
    traffic_counts,
)
from marketplace.services.notices import notice_post
from marketplace.services.offers import offers_follow_reliability
from marketplace.services.transition import instance_event, instance_transition
from marketplace.services.volumes import (
    volume_time_follows,
    volumes_come_online,
    volumes_go_offline,
)

LOADING_MESSAGES = {
    "pulling": "Pulling the image.",
    "creating": "Creating the container.",
    "starting": "Starting the container.",
}


class InstanceHooks:
    """hosting.hooks.MarketHooks."""

    def tasks_reported(self, task_ids: list[int], volume_owner_ids: Collection[int] = ()) -> None:
        """See MarketHooks. Two machines of the same clients must not wait for each other's ledger accounts."""
        reported = Instance.objects.filter(task__in=task_ids).values_list("machine_id", "client_id")
        payers = {client_id for _, client_id in reported} | set(volume_owner_ids)
        lock_runners({machine_id for machine_id, _ in reported}, payer_ids=payers)

    def volume_observed(self, volume: Volume, now: datetime) -> None:
        """See MarketHooks."""
        volume_time_follows(volume, now)

    def task_observed(self, task: Task, now: datetime) -> None:
        """See MarketHooks."""
        instance = Instance.objects.select_related("client", "task").filter(task=task).first()
        if instance is None:
            return
        instance.task = task
        share_machine(instance, task.machine)
        instance_observed(instance=instance, now=now)

    def task_traffic_counted(self, task: Task, now: datetime) -> None:
        """See MarketHooks. What is counted after the contract's end is nobody's to pay."""
        ended = (states.DESTROYING, states.DESTROYED)
        instance = Instance.objects.filter(task=task).exclude(state__in=ended).first()
        if instance is not None:
            instance.task = task
            traffic_counts(instance=instance, now=now)

    def machine_changed(self, machine: Machine, now: datetime) -> None:
        """See MarketHooks."""
        lock_runners([machine.pk])
        machine_clear(machine=machine, now=now)

    def machine_went_offline(self, machine: Machine, last_seen_at: datetime) -> None:
        """See MarketHooks. Nobody pays for GPUs and volumes that can't be reached; an instance's disk exists all the
        same."""
        lock_runners([machine.pk], payer_ids=volume_owner_ids(machine))
        for instance in Instance.objects.filter(machine=machine, state=states.RUNNING).order_by("pk"):
            gpu_time_ends(instance=instance, at=last_seen_at)
        volumes_go_offline(machine, last_seen_at)

    def machine_came_online(self, machine: Machine, now: datetime) -> None:
        """See MarketHooks. What still runs is charged again from now on."""
        lock_runners([machine.pk], payer_ids=volume_owner_ids(machine))
        for instance in Instance.objects.filter(machine=machine, state=states.RUNNING).order_by("pk"):
            gpu_time_starts(instance=instance, at=now)
        volumes_come_online(machine, now)

    def gpus_turned(
        self, machine: Machine, gone: Sequence[tuple[Gpu, str]], back: Sequence[Gpu], now: datetime
    ) -> None:
        """See MarketHooks."""
        gpu_notices_post(machine=machine, gone=gone, back=back, now=now)

    def report_filed(self, report: MachineReport, now: datetime) -> None:
        """See MarketHooks."""
        report_filed_tell(report, now)

    def report_answered(self, report: MachineReport, now: datetime) -> None:
        """See MarketHooks."""
        report_answered_tell(report, now)

    def maintenance_announced(self, machine: Machine, period: QuietPeriod, now: datetime) -> None:
        """See MarketHooks."""
        maintenance_tell(machine=machine, period=period, now=now)

    def maintenance_ended(self, machine: Machine, period: QuietPeriod, now: datetime) -> None:
        """See MarketHooks."""
        maintenance_end_tell(machine=machine, period=period, now=now)

    def machine_suspended(self, machine: Machine, evicts: bool, now: datetime) -> None:
        """See MarketHooks."""
        machine_withdraw(machine=machine, evicts=evicts, now=now)

    def machine_restored(self, machine: Machine, now: datetime) -> None:
        """See MarketHooks."""
        machine_readmit(machine=machine, now=now)

    def account_suspended_at(self, account_id: int) -> datetime | None:
        """See MarketHooks."""
        return User.objects.filter(pk=account_id).values_list("suspended_at", flat=True).first()

    def reliability_changed(self, machine_ids: Collection[int]) -> None:
        """See MarketHooks."""
        offers_follow_reliability(machine_ids=machine_ids)

    def contracts_extend(self, machine: Machine, end_at: datetime, host: AbstractBaseUser, now: datetime) -> int:
        """See MarketHooks."""
        return contracts_extend(machine=machine, end_at=end_at, host=host, now=now)

    def contract_ends(self, machine: Machine) -> list[datetime]:
        """See MarketHooks."""
        return contract_ends(machine)

    def audited(
        self,
        *,
        action: str,
        actor: AbstractBaseUser | None,
        owner_id: int,
        message: str,
        now: datetime,
        about: tuple[str, object] = ("", ""),
    ) -> None:
        """See MarketHooks."""
        audit_record(action=action, actor=actor, account_id=owner_id, about=about, message=message, now=now)


def instance_observed(*, instance: Instance, now: datetime) -> None:
    """Bring the instance's state to what its task is observed to be. The machine's row is locked."""
    task = instance.task
    if task.removed_at is not None:
        _removed(instance, now)
    elif instance.state == states.DESTROYING:
        return
    elif task.reason == "container_lost":
        _lost(instance, now)
    elif task.observed_run_generation != task.run_generation:
        return  # news of an earlier run
    elif task.desired_state == Task.Desired.RUNNING:
        _observed_while_wanted(instance, now)
    elif instance.state == states.STOPPING and task.observed_phase in ("stopped", "exited", "failed"):
        instance_transition(instance=instance, to=states.STOPPED, now=now, message=instance.status_message)


def _removed(instance: Instance, now: datetime) -> None:
    if instance.state != states.DESTROYING:
        return
    Instance.objects.filter(pk=instance.pk).update(destroyed_at=now)
    instance_transition(instance=instance, to=states.DESTROYED, now=now)
    erased = [kind.replace("_", " ") for kind in instance.task.erased]
    if erased:
        message = f"The machine's agent has looked: nothing is left of its {', '.join(erased)}."
        instance_event(instance, "erased", now=now, message=message)


def _lost(instance: Instance, now: datetime) -> None:
    """The container is gone though nobody asked for it, and the client's data with it."""
    if instance.state == states.ERROR:
        return
    at = instance.task.observed_since
    gpu_time_ends(instance=instance, at=at)
    storage_ends(instance=instance, at=at)
    Instance.objects.filter(pk=instance.pk).update(wants_running=False, waiting_since=None, running_since=None)
    message = f"{instance.task.message} Destroy it and rent again."
    instance_transition(instance=instance, to=states.ERROR, now=now, reason="container_lost", message=message)
    task_stop(task=instance.task, now=now)


def _observed_while_wanted(instance: Instance, now: datetime) -> None:
    phase = instance.task.observed_phase
    if phase == "running" and instance.state == states.LOADING:
        _runs(instance, now)
    elif phase in LOADING_MESSAGES and instance.state == states.LOADING:
        Instance.objects.filter(pk=instance.pk).update(status_message=LOADING_MESSAGES[phase])
    elif phase in ("exited", "failed", "stopped") and instance.state in (states.LOADING, states.RUNNING):
        if instance.task.reason == "engine_down":
            _interrupted(instance, now)
        else:
            _ended(instance, now)


def _runs(instance: Instance, now: datetime) -> None:
    since = max(instance.task.observed_since, instance.state_since)
    storage_starts(instance=instance, at=since)
    gpu_time_starts(instance=instance, at=since)
    Instance.objects.filter(pk=instance.pk).update(running_since=since)
    instance_transition(instance=instance, to=states.RUNNING, now=now, reason="started")
    _tell_if_resumed(instance, now)


def _tell_if_resumed(instance: Instance, now: datetime) -> None:
    """Whoever waited for its bid to win is told that it runs."""
    turns = instance.events.filter(to_state__in=(states.OUTBID, states.RUNNING)).order_by("-pk")
    if turns.values_list("to_state", flat=True)[1:2].first() != states.OUTBID:
        return
    notice_post(
        instance=instance,
        kind=notices.RESUMED,
        key=f"instance:{instance.pk}:resumed:{now:%Y%m%d%H%M}",
        subject=f"Instance {instance.pk} runs",
        text="Your bid won: the instance runs, and its start command or /root/onstart.sh was run again.",
        now=now,
    )


def _interrupted(instance: Instance, now: datetime) -> None:
    """The run ended with the host's engine or the whole machine: no fault of the client's, so it begins anew."""
    gpu_time_ends(instance=instance, at=instance.task.observed_since)
    Instance.objects.filter(pk=instance.pk).update(waiting_since=now, running_since=None)
    message = f"{instance.task.message} It starts again by itself."
    instance_transition(instance=instance, to=states.SCHEDULING, now=now, reason="engine_down", message=message)
    task_stop(task=instance.task, now=now)


def _ended(instance: Instance, now: datetime) -> None:
    """The run ended by itself or never began: charging ends with it and the GPUs go back."""
    task = instance.task
    _charge_unseen(instance)
    gpu_time_ends(instance=instance, at=task.observed_since)
    Instance.objects.filter(pk=instance.pk).update(wants_running=False, running_since=None)
    never_ran = task.observed_phase == "failed" or task.reason == "command_not_found"
    to = states.ERROR if never_ran else states.EXITED
    instance_transition(instance=instance, to=to, now=now, reason=task.reason, message=_end_message(task))
    task_stop(task=task, now=now)


def _charge_unseen(instance: Instance) -> None:
    """A run that was over before anybody heard that it had begun costs what it lasted, as the agent tells it: at most
    since it was asked for, and never time in which the machine could not be reached."""
    task = instance.task
    if instance.state != states.LOADING or task.run_began_at is None or task.reason == "command_not_found":
        return
    began = max(task.run_began_at, instance.state_since)
    if began < task.observed_since:
        storage_starts(instance=instance, at=began)
        gpu_time_starts(instance=instance, at=began)


def _end_message(task: Task) -> str:
    if task.message:
        return task.message
    if task.exit_code is not None:
        return f"The container's command ended with exit code {task.exit_code}."
    return "The container stopped."
