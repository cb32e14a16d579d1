"""Reports of machines: hosts read what clients report, clients report."""

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from hosting.access import machine_for
from hosting.models import MachineReport
from hosting.reports_shown import reports_of
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.services.machine_reports import machine_report


class MachineReports(AccountView):
    """What clients report of one machine."""

    @extend_schema(responses=ANY_OBJECT, operation_id="machine_reports", summary="Show the reports of a machine")
    def get(self, request: Request, machine_id: int) -> HttpResponse:
        """A list, open ones first, for the machine's host."""
        machine = machine_for(caller(request), machine_id)
        return reply([_report_json(report) for report in reports_of(machine)])

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Report a machine")
    def post(self, request: Request, machine_id: int) -> HttpResponse:
        """``problem`` is one of the kinds of the page, ``message`` says more; for who rents there or has lately."""
        fields = Fields(request.data)
        filed = machine_report(
            client=caller(request),
            machine_id=machine_id,
            kind=fields.text("problem"),
            text=fields.text("message"),
            now=timezone.now(),
        )
        return reply({"success": True, "id": filed.pk, "msg": f"Machine {machine_id} is reported."})


def _report_json(report: MachineReport) -> dict[str, object]:
    return {
        "id": report.pk,
        "problem": report.kind,
        "message": report.text,
        "created_at": report.created_at.timestamp(),
        "state": report.state,
        "answer": report.answer,
    }
