"""Every row lock of this app. The one order: machine, then instance, then ledger account; several of a kind by pk.

A pulse, a period of maintenance, a client's report and measurements are locked alone, a job alone or after its machine.
"""

from collections.abc import Iterable
from datetime import datetime

from hosting.models import Job, Machine, MachineReport, Pulse, QuietPeriod, TelemetryReceipt, TelemetryWindow


def lock_machine(machine_id: int) -> Machine:
    """The machine, locked until the transaction ends. Raises ``Machine.DoesNotExist``."""
    return Machine.objects.select_for_update(of=("self",)).get(pk=machine_id)


def lock_idle_machines(machine_ids: Iterable[int]) -> list[Machine]:
    """Those of these machines that nobody else holds, locked until the transaction ends, by pk."""
    free = Machine.objects.select_for_update(of=("self",), skip_locked=True).filter(pk__in=machine_ids)
    return list(free.order_by("pk"))


def lock_pulse(name: str, now: datetime) -> Pulse:
    """The pulse of this name, locked until the transaction ends; one that never beat begins now."""
    locked = Pulse.objects.select_for_update()
    found = locked.filter(pk=name).first()
    if found is None:
        Pulse.objects.bulk_create([Pulse(name=name, at=now)], ignore_conflicts=True)
        found = locked.get(pk=name)
    return found


def lock_job(job_id: int) -> Job:
    """The job, locked until the transaction ends. Raises ``Job.DoesNotExist``."""
    return Job.objects.select_for_update(of=("self",)).get(pk=job_id)


def lock_quiet_period(period_id: int) -> QuietPeriod | None:
    """The period, locked until the transaction ends; None when there is none."""
    return QuietPeriod.objects.select_for_update(of=("self",)).filter(pk=period_id).first()


def lock_report(report_id: int) -> MachineReport | None:
    """A client's report of a machine, locked until the transaction ends; None when there is none."""
    found = MachineReport.objects.select_for_update(of=("self",)).select_related("machine").filter(pk=report_id)
    return found.first()


def lock_telemetry_receipt(machine_id: int) -> TelemetryReceipt:
    """Which of the machine's measurements are here, locked until the transaction ends; none at first."""
    locked = TelemetryReceipt.objects.select_for_update()
    found = locked.filter(pk=machine_id).first()
    if found is None:
        TelemetryReceipt.objects.bulk_create([TelemetryReceipt(machine_id=machine_id)], ignore_conflicts=True)
        found = locked.get(pk=machine_id)
    return found


def lock_telemetry_windows(machine_id: int, level: int, before: datetime) -> list[TelemetryWindow]:
    """The machine's windows of a level that began before a moment and that nobody else joins, locked."""
    free = TelemetryWindow.objects.select_for_update(skip_locked=True)
    return list(free.filter(machine_id=machine_id, level=level, started_at__lt=before).order_by("started_at", "pk"))
