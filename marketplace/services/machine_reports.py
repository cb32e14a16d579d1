"""Clients report machines that they rent or have rented; both sides are told by mail."""

from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Q

from hosting.domain.machine_reports import ASKED_FOR_DAYS, KINDS
from hosting.models import MachineReport
from hosting.services.machine_reports import report_file
from marketplace.domain import notices
from marketplace.errors import MarketError
from marketplace.models import Instance
from marketplace.services.notices import account_notice_post


def machine_report(
    *, client: AbstractBaseUser, machine_id: int, kind: str, text: str, now: datetime, instance_id: int | None = None
) -> MachineReport:
    """Report a machine on which the client has an instance, or had one within the last ASKED_FOR_DAYS.

    ``instance_id``: on which it was noticed; the latest there without. Raises MarketError(no_such_machine, 404) for a
    machine that it has nothing to do with, and what ``report_file`` raises.
    """
    lately = Q(destroyed_at=None) | Q(destroyed_at__gt=now - timedelta(days=ASKED_FOR_DAYS))
    own = Instance.objects.filter(lately, machine_id=machine_id, client_id=client.pk)
    instance = (own if instance_id is None else own.filter(pk=instance_id)).order_by("-pk").first()
    if instance is None:
        message = f"You have no instance on machine {machine_id}, and had none in the last {ASKED_FOR_DAYS} days."
        raise MarketError("no_such_machine", message, status=404)
    about = f"C.{instance.pk}"
    return report_file(machine_id=machine_id, reporter=client, kind=kind, text=text, about=about, now=now)


def report_filed_tell(report: MachineReport, now: datetime) -> None:
    """The machine's host, who does not learn who it is."""
    machine = report.machine
    text = (
        f"A client reports of machine {machine.pk} ({machine.hostname}): {KINDS[report.kind].lower()}.\n\n"
        f"{report.text}\n\nAnswer on the machine's page."
    )
    _post(
        machine.host_id, notices.MACHINE_REPORT, report, f"Machine {machine.pk}: a client reports a problem", text, now
    )


def report_answered_tell(report: MachineReport, now: datetime) -> None:
    """Whoever reported it."""
    solved = "" if report.is_open else " and says that it is solved"
    text = f"The host of machine {report.machine_id} answered your report{solved}:\n\n{report.answer}"
    subject = f"Your report of machine {report.machine_id} was answered"
    _post(report.reporter_id, notices.REPORT_ANSWERED, report, subject, text, now)


def _post(owner_id: int, kind: str, report: MachineReport, subject: str, text: str, now: datetime) -> None:
    key = f"report:{report.pk}:{kind}:{now.isoformat()}"
    data = {"machine_id": report.machine_id, "report_id": report.pk}
    account_notice_post(owner_id=owner_id, kind=kind, key=key, subject=subject, text=text, data=data, now=now)
