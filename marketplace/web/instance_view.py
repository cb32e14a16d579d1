"""What a page says about an instance: its state in plain words, what it cost, what can be done with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from billing.selectors import meter_totals_micros
from hosting.connecting import is_only_direct
from marketplace.domain import instance_states as states
from marketplace.domain.lifetimes import DISK_KEPT
from marketplace.models import Instance
from marketplace.services.metering import references, storage_reference
from marketplace.web.bid_view import BidView, bid_views
from marketplace.web.jupyter_view import JupyterView, jupyter_views
from marketplace.web.ways import Way, ways

LABELS = {
    states.SCHEDULING: "Scheduling",
    states.LOADING: "Loading",
    states.RUNNING: "Running",
    states.OUTBID: "Outbid",
    states.STOPPING: "Stopping",
    states.STOPPED: "Stopped",
    states.EXITED: "Exited",
    states.ERROR: "Error",
    states.DESTROYING: "Destroying",
    states.DESTROYED: "Destroyed",
}
TONES = {
    states.SCHEDULING: "warn",
    states.LOADING: "busy",
    states.RUNNING: "good",
    states.OUTBID: "warn",
    states.STOPPING: "busy",
    states.STOPPED: "quiet",
    states.EXITED: "warn",
    states.ERROR: "bad",
    states.DESTROYING: "busy",
    states.DESTROYED: "quiet",
}
SENTENCES = {
    states.SCHEDULING: "Waits for free GPUs on its machine and starts by itself.",
    states.LOADING: "Being prepared on its machine.",
    states.OUTBID: "Others bid more or rent on demand.",
    states.STOPPING: "Stopping. Its disk is kept.",
    states.STOPPED: "Stopped. Its disk is kept, and only the disk costs.",
    states.EXITED: "The container's command has ended.",
    states.ERROR: "It could not be started.",
    states.DESTROYING: "Its container and disk are being removed.",
}

HINTS = {
    states.OUTBID: "It wants to run, but others bid more or rent on demand. Its disk is kept, and it starts again by "
    "itself when its bid wins.",
    states.SCHEDULING: "It waits for GPUs and starts by itself.",
}
"""What a state means, for those who point at its badge."""


FULL_SHARE = 0.97


@dataclass(frozen=True)
class InstanceView:
    """One instance as pages show it. Money in micro-dollars."""

    instance: Instance
    label: str
    tone: str
    sentence: str
    progress_percent: int | None
    cost_micros: int
    micros_per_hour: int
    now: datetime
    bid: BidView | None = None
    """None on demand."""
    jupyter: JupyterView | None = None
    """None in other launch modes."""

    @property
    def disk_is_full(self) -> bool:
        """As good as: what its programs write fails, or is about to."""
        used_mb: int | None = self.instance.task.disk_used_mb
        return used_mb is not None and used_mb >= FULL_SHARE * self.instance.disk_gb * 1024

    @property
    def hint(self) -> str:
        return HINTS.get(self.instance.state, "")

    @property
    def can_change_bid(self) -> bool:
        return self.bid is not None and self.can_destroy and not self.is_over

    @property
    def is_over(self) -> bool:
        """Whether the lifetime has ended."""
        return self.instance.end_at <= self.now

    @property
    def disk_end_at(self) -> datetime:
        """When the disk is deleted, unless the lifetime is extended before."""
        return self.instance.end_at + DISK_KEPT

    @property
    def disk_kept_hours(self) -> int:
        return DISK_KEPT // timedelta(hours=1)

    @property
    def bid_note(self) -> str:
        """What to know about the bid now; nothing for one that can't be started any more."""
        return self.bid.note if self.bid is not None and self.can_change_bid else ""

    @property
    def is_offline(self) -> bool:
        return not self.instance.machine.online

    @property
    def can_start(self) -> bool:
        return self.instance.state in states.CAN_START and self.instance.end_at > self.now

    @property
    def can_stop(self) -> bool:
        return self.instance.state in states.CAN_STOP

    @property
    def can_reboot(self) -> bool:
        return self.instance.state in states.CAN_REBOOT

    @property
    def can_destroy(self) -> bool:
        return self.instance.state != states.DESTROYING

    @property
    def can_connect(self) -> bool:
        return self.instance.ssh_port is not None and self.can_destroy

    @property
    def own_keys(self) -> int:
        """How many SSH keys open it besides those of its account."""
        return self.instance.ssh_keys.count()

    @property
    def onstart_failed(self) -> bool:
        """Whether the on-start script of the run that goes on has ended with an error."""
        return self.instance.state == states.RUNNING and bool(self.instance.task.onstart_exit_code)

    @property
    def full_micros_per_hour(self) -> int:
        return self.instance.gpu_micros_per_hour + self.instance.storage_micros_per_hour

    @property
    def seconds_left(self) -> float:
        return (self.instance.end_at - self.now).total_seconds()

    @property
    def ways(self) -> list[Way]:
        """How to log in and to copy files, the recommended way first."""
        return ways(self.instance)

    @property
    def is_relayed_only(self) -> bool:
        """Whether the machine's own ports can't be reached from outside."""
        return not self.instance.machine.is_direct and not is_only_direct(self.instance.machine)

    @property
    def address(self) -> str:
        return self.instance.machine.public_address


def instance_views(instances: Iterable[Instance], now: datetime) -> list[InstanceView]:
    """The views of several instances, with one look into the ledger for all."""
    found = list(instances)
    totals = meter_totals_micros([name for instance in found for name in references(instance)], now)
    bids, jupyters = bid_views(found), jupyter_views(found)
    return [replace(_view(one, totals, bids, now), jupyter=jupyters.get(one.pk)) for one in found]


def _view(instance: Instance, totals: dict[str, int], bids: Mapping[int, BidView], now: datetime) -> InstanceView:
    running = instance.state == states.RUNNING
    offline = not instance.machine.online and instance.state in (*states.CAN_STOP, states.STOPPING, states.DESTROYING)
    progress = instance.task.progress if instance.state == states.LOADING else None
    storage_rate = instance.storage_micros_per_hour if _disk_costs(instance, totals) else 0
    return InstanceView(
        instance=instance,
        label="Offline" if offline else LABELS[instance.state],
        tone="bad" if offline else TONES[instance.state],
        sentence=_offline_sentence(instance) if offline else _sentence(instance),
        progress_percent=None if progress is None else min(100, int(progress * 100)),
        cost_micros=sum(totals.get(reference, 0) for reference in references(instance)),
        micros_per_hour=storage_rate + (instance.gpu_micros_per_hour if running and not offline else 0),
        now=now,
        bid=bids.get(instance.pk),
    )


def _disk_costs(instance: Instance, totals: dict[str, int]) -> bool:
    """Whether there is a disk to pay for: from the first run on, until it is lost or to be destroyed."""
    if instance.state == states.DESTROYING or instance.task.reason == "container_lost":
        return False
    return instance.state == states.RUNNING or totals.get(storage_reference(instance), 0) > 0


def _sentence(instance: Instance) -> str:
    return instance.status_message or SENTENCES.get(instance.state, "")


def _offline_sentence(instance: Instance) -> str:
    if instance.state == states.RUNNING:
        return "Its machine can't be reached. Until it is back, its GPUs cost nothing."
    return f"{LABELS[instance.state]}, but its machine can't be reached. It goes on when the machine is back."
