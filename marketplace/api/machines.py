"""The caller's machines: show, list, unlist."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from hosting.access import machine_for
from hosting.models import GpuClaim
from hosting.selectors import machines_of
from hosting.services.listing import listing_end, listing_set
from marketplace.api.listing_body import listing_terms, machine_of
from marketplace.api.machine_json import machine_json
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.models import User


def _rows(user: User, **only: int) -> list[dict[str, Any]]:
    machines = list(machines_of(user).filter(**only).prefetch_related("gpus"))
    busy = GpuClaim.objects.filter(gpu__machine__in=machines, released_at=None).values_list("gpu_id", flat=True)
    busy_gpu_ids = frozenset(busy)
    return [machine_json(machine, machine.gpus.all(), busy_gpu_ids) for machine in machines]


class Machines(AccountView):
    """All machines."""

    @extend_schema(responses=ANY_OBJECT, operation_id="list_machines", summary="List machines")
    def get(self, request: Request) -> HttpResponse:
        return reply({"success": True, "machines": _rows(caller(request))})


class MachineDetail(AccountView):
    """One machine."""

    @extend_schema(responses=ANY_OBJECT, operation_id="show_machine", summary="Show a machine")
    def get(self, request: Request, machine_id: int) -> HttpResponse:
        """A list with the one machine, which is what the clients expect."""
        machine_for(caller(request), machine_id)
        return reply(_rows(caller(request), pk=machine_id))


class CreateAsks(AccountView):
    """Put a machine on the market, or change its terms for new rentals."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Offer a machine for rent")
    def put(self, request: Request) -> HttpResponse:
        user, fields, now = caller(request), Fields(request.data), timezone.now()
        machine = machine_for(user, machine_of(fields))
        terms = listing_terms(fields, getattr(machine, "listing", None), now=now)
        listing_set(machine_id=machine.pk, host=user, terms=terms, now=now)
        return reply({"success": True, "msg": f"Machine {machine.pk} is listed.", "extended": 0})


class MachineAsks(AccountView):
    """The offers of a machine."""

    @extend_schema(request=None, responses=DONE, summary="Take a machine off the market")
    def delete(self, request: Request, machine_id: int) -> HttpResponse:
        listing_end(machine_id=machine_id, host=caller(request), now=timezone.now())
        return reply({"success": True, "msg": f"Machine {machine_id} is not offered any more."})
