"""Reports of machines: filed, answered, closed. Whoever reports is known to staff alone."""

from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting import hooks
from hosting.domain import machine_reports as rules
from hosting.domain.texts import clean
from hosting.errors import HostingError
from hosting.locks import lock_machine, lock_report
from hosting.models import MachineEvent, MachineReport
from hosting.services.events import machine_event


@transaction.atomic
def report_file(
    *, machine_id: int, reporter: AbstractBaseUser, kind: str, text: str, about: str, now: datetime
) -> MachineReport:
    """File a report; the caller has seen that the reporter has something to do with the machine.

    While one of the same kind is open, that one is returned. Raises HostingError: invalid_args with the field,
    too_many_reports (429).
    """
    if kind not in rules.KINDS:
        raise HostingError("invalid_args", f"Choose one of {', '.join(rules.KINDS)}.", field="kind")
    problem = rules.text_problem(text)
    if problem:
        raise HostingError("invalid_args", problem, field="text")
    machine = lock_machine(machine_id)
    own = MachineReport.objects.filter(reporter_id=reporter.pk, state=rules.OPEN)
    known = own.filter(machine=machine, kind=kind).first()
    if known is not None:
        return known
    if own.count() >= rules.MOST_OPEN_PER_ACCOUNT:
        message = f"{rules.MOST_OPEN_PER_ACCOUNT} reports of yours are open. Withdraw some first."
        raise HostingError("too_many_reports", message, status=429)
    lately = MachineReport.objects.filter(reporter_id=reporter.pk, created_at__gt=now - timedelta(days=1))
    if lately.count() >= rules.MOST_A_DAY:
        message = f"You have reported {rules.MOST_A_DAY} times within a day. That is enough for now."
        raise HostingError("too_many_reports", message, status=429)
    words = clean(text.strip(), rules.MOST_CHARS)
    report = MachineReport.objects.create(
        machine=machine, reporter_id=reporter.pk, about=about, kind=kind, text=words, created_at=now
    )
    machine_event(machine, "reported", now=now, message=rules.KINDS[kind], report=report.pk)
    hooks.market().report_filed(report, now)
    return report


@transaction.atomic
def report_answer(*, report_id: int, host: AbstractBaseUser, text: str, solved: bool, now: datetime) -> MachineReport:
    """The host answers, and says perhaps that it is solved; whoever reported it is told. The same again is nothing new.

    Raises HostingError: no_such_report (404), invalid_args with the field, wrong_state (409), too_many_answers (429).
    """
    report = lock_report(report_id)
    if report is None or report.machine.host_id != host.pk:
        raise _none(report_id)
    problem = rules.text_problem(text)
    if problem:
        raise HostingError("invalid_args", problem, field="text")
    if report.state not in (rules.OPEN, rules.SOLVED):
        raise HostingError("wrong_state", f"This report is {report.state}.", status=409)
    words, is_end = clean(text.strip(), rules.MOST_CHARS), solved and report.state == rules.OPEN
    if words == report.answer and not is_end:
        return report
    _refuse_too_many_answers(report)
    report.answer, report.answered_at = words, now
    if is_end:
        report.state, report.closed_at = rules.SOLVED, now
    report.save(update_fields=["answer", "answered_at", "state", "closed_at"])
    machine_event(report.machine, "report_answered", now=now, actor=host, report=report.pk, solved=solved)
    hooks.market().report_answered(report, now)
    return report


def _refuse_too_many_answers(report: MachineReport) -> None:
    answers = MachineEvent.objects.filter(
        machine_id=report.machine_id, kind="report_answered", details__report=report.pk
    )
    if answers.count() >= rules.MOST_ANSWERS:
        message = f"You have answered this report {rules.MOST_ANSWERS} times. Whoever reported it knows what you say."
        raise HostingError("too_many_answers", message, status=429)


@transaction.atomic
def report_withdraw(*, report_id: int, reporter: AbstractBaseUser, now: datetime) -> None:
    """Whoever reported it takes it back. Raises HostingError: no_such_report (404), wrong_state (409)."""
    report = lock_report(report_id)
    if report is None or report.reporter_id != reporter.pk:
        raise _none(report_id)
    _close(report, rules.WITHDRAWN, now)


@transaction.atomic
def report_dismiss(*, report_id: int, actor: AbstractBaseUser | None, now: datetime) -> None:
    """Staff find nothing to it. Raises HostingError: no_such_report (404), wrong_state (409)."""
    report = lock_report(report_id)
    if report is None:
        raise _none(report_id)
    _close(report, rules.DISMISSED, now)
    machine_event(report.machine, "report_dismissed", now=now, actor=actor, report=report.pk)


def _close(report: MachineReport, to: str, now: datetime) -> None:
    if not rules.may_become(report.state, to):
        raise HostingError("wrong_state", f"This report is {report.state} already.", status=409)
    report.state, report.closed_at = to, now
    report.save(update_fields=["state", "closed_at"])


def _none(report_id: int) -> HostingError:
    return HostingError("no_such_report", f"There is no report {report_id} of yours.", status=404)
