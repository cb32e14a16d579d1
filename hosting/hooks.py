"""What hosting tells the layer above it, inside the transaction of the change.

Hosting must not import the marketplace, yet a container that starts is an instance that runs, and a machine that goes
offline is offers that vanish, at the same instant. The marketplace registers its ``MarketHooks`` when Django starts.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from django.contrib.auth.base_user import AbstractBaseUser

from hosting.models import Gpu, Machine, MachineReport, QuietPeriod, Task, Volume


class MarketHooks(Protocol):
    """Implemented by the marketplace. The machine's row is locked by the caller."""

    def tasks_reported(self, task_ids: list[int], volume_owner_ids: Collection[int] = ()) -> None:
        """A report on these tasks, and on volumes of these owners, is about to be written: take the locks that their
        changes may need, in order."""

    def volume_observed(self, volume: Volume, now: datetime) -> None:
        """A volume's state changed by what the agent said."""

    def task_observed(self, task: Task, now: datetime) -> None:
        """A task's observed phase changed; ``task.observed_since`` says when."""

    def task_traffic_counted(self, task: Task, now: datetime) -> None:
        """A task's ``net_rx_bytes`` or ``net_tx_bytes`` grew. Called before ``task_observed`` when both happen."""

    def machine_changed(self, machine: Machine, now: datetime) -> None:
        """Terms, hardware or availability of the machine may have changed."""

    def machine_went_offline(self, machine: Machine, last_seen_at: datetime) -> None:
        """The agent has been silent too long; it was last heard at ``last_seen_at``."""

    def machine_came_online(self, machine: Machine, now: datetime) -> None:
        """The agent speaks again."""

    def gpus_turned(
        self, machine: Machine, gone: Sequence[tuple[Gpu, str]], back: Sequence[Gpu], now: datetime
    ) -> None:
        """GPUs of the machine were found unfit to be rented, each with its fault's code (hosting.domain.gpu_health), or
        are fit again."""

    def report_filed(self, report: MachineReport, now: datetime) -> None:
        """A client reports a problem with the machine. Locked is the machine."""

    def report_answered(self, report: MachineReport, now: datetime) -> None:
        """The machine's host answered a report."""

    def maintenance_announced(self, machine: Machine, period: QuietPeriod, now: datetime) -> None:
        """The host or staff announced maintenance."""

    def maintenance_ended(self, machine: Machine, period: QuietPeriod, now: datetime) -> None:
        """Maintenance was called off, or is over earlier than was announced."""

    def machine_suspended(self, machine: Machine, evicts: bool, now: datetime) -> None:
        """Staff keep the machine from the market; with ``evicts`` what runs on it has to stop."""

    def machine_restored(self, machine: Machine, now: datetime) -> None:
        """The machine may be on the market again."""

    def account_suspended_at(self, account_id: int) -> datetime | None:
        """Since when the account is suspended; None while it is not. A read: needs no lock."""

    def reliability_changed(self, machine_ids: Collection[int]) -> None:
        """The reliability of these locked machines was computed anew."""

    def contracts_extend(self, machine: Machine, end_at: datetime, host: AbstractBaseUser, now: datetime) -> int:
        """Give every contract of the machine that ends earlier this later end, at its price; returns how many."""

    def contract_ends(self, machine: Machine) -> list[datetime]:
        """When each contract of the machine ends, the earliest first. A read: needs no lock."""

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
        """Something that staff did, or that concerns the security of an account, goes into the audit log.

        ``action`` is known to it; ``about`` is kind and number of the object.
        """


class _Registry:
    market: MarketHooks | None = None


def register(market: MarketHooks) -> None:
    """Make ``market`` the receiver of all calls."""
    _Registry.market = market


def market() -> MarketHooks:
    """The registered receiver; RuntimeError when the project was assembled without one."""
    if _Registry.market is None:
        raise RuntimeError("no MarketHooks registered: the marketplace app is not installed")
    return _Registry.market
