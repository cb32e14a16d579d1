"""How instances and machines were, as numbers for charts."""

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from hosting.access import machine_for
from hosting.telemetry import machine_history, task_history
from marketplace.access import instance_for
from marketplace.api.schema import ANY_OBJECT
from marketplace.api.usage_json import history_json, period_of
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import reply

PERIOD = OpenApiParameter("period", str, description="1h, 24h (the default), 7d or 30d")


class InstanceHistory(AccountView):
    """What an instance used."""

    @extend_schema(
        parameters=[PERIOD], responses=ANY_OBJECT, summary="Usage of an instance and of its GPUs while it had them"
    )
    def get(self, request: Request, instance_id: int) -> HttpResponse:
        period = period_of(request.query_params.get("period"))
        instance = instance_for(caller(request), instance_id)
        return reply(history_json(task_history(instance.task, period, timezone.now())))


class MachineHistory(AccountView):
    """How a machine of the caller's was."""

    @extend_schema(parameters=[PERIOD], responses=ANY_OBJECT, summary="Usage of a machine and of each of its GPUs")
    def get(self, request: Request, machine_id: int) -> HttpResponse:
        period = period_of(request.query_params.get("period"))
        machine = machine_for(caller(request), machine_id)
        return reply(history_json(machine_history(machine, period, timezone.now())))
