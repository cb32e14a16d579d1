"""The caller's machines: show, list, unlist, idle jobs, minimum bids."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from billing.domain.money import exact_dollars
from hosting.access import machine_for
from hosting.models import GpuClaim, Task
from hosting.reports_shown import open_reports
from hosting.selectors import machines_of
from hosting.services.idle_jobs import idle_job_remove, idle_job_set
from hosting.services.install_tokens import install_token_create
from hosting.services.lifetimes import listing_set_and_extend
from hosting.services.listing import listing_end, listing_set, min_bid_set
from hosting.services.removal import machine_remove
from hosting.telemetry import machines_now
from marketplace.api.idle_job_body import idle_job, min_bid_micros
from marketplace.api.listing_body import has_end, listing_terms, machine_of
from marketplace.api.machine_json import machine_json
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.models import User


def _rows(user: User, **only: int) -> list[dict[str, Any]]:
    machines = list(machines_of(user).filter(**only).prefetch_related("gpus"))
    claims = GpuClaim.objects.filter(gpu__machine__in=machines, released_at=None)
    rented = claims.filter(task__kind=Task.Kind.INSTANCE).values_list("gpu_id", "task__instance__rental_type")
    rental_types = dict(rented)
    now = machines_now(machine.pk for machine in machines)
    reports = open_reports([machine.pk for machine in machines])
    return [
        machine_json(machine, machine.gpus.all(), rental_types, now.get(machine.pk), reports.get(machine.pk, 0))
        for machine in machines
    ]


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
        extended = 0
        if has_end(fields):
            extended = listing_set_and_extend(machine_id=machine.pk, host=user, terms=terms, now=now)
        else:
            listing_set(machine_id=machine.pk, host=user, terms=terms, now=now)
        return reply({"success": True, "msg": f"Machine {machine.pk} is listed.", "extended": extended})


class MachineAsks(AccountView):
    """The offers of a machine."""

    @extend_schema(request=None, responses=DONE, summary="Take a machine off the market")
    def delete(self, request: Request, machine_id: int) -> HttpResponse:
        listing_end(machine_id=machine_id, host=caller(request), now=timezone.now())
        return reply({"success": True, "msg": f"Machine {machine_id} is not offered any more."})


class CreateBids(AccountView):
    """The idle job of a machine ("default job")."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Give a machine an idle job")
    def put(self, request: Request) -> HttpResponse:
        """``price_gpu`` is in $ per GPU and hour."""
        fields = Fields(request.data)
        machine_id = machine_of(fields)
        image, args, price_micros = idle_job(fields)
        idle_job_set(
            machine_id=machine_id,
            host=caller(request),
            image=image,
            args=args,
            price_micros_per_gpu_hour=price_micros,
            now=timezone.now(),
        )
        price = exact_dollars(price_micros)
        message = f"The idle job of machine {machine_id} has a price of ${price} per GPU and hour (not per day)."
        return reply({"success": True, "msg": message})


class MachineDefaultJob(AccountView):
    """The idle job of one machine."""

    @extend_schema(request=None, responses=DONE, summary="Remove a machine's idle job")
    def delete(self, request: Request, machine_id: int) -> HttpResponse:
        idle_job_remove(machine_id=machine_id, host=caller(request), now=timezone.now())
        return reply({"success": True, "msg": f"Machine {machine_id} has no idle job."})


class MachineMinBid(AccountView):
    """The least bid that a machine takes."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Set a machine's minimum bid")
    def put(self, request: Request, machine_id: int) -> HttpResponse:
        """``price`` is in $ per GPU and hour; null is none."""
        price_micros = min_bid_micros(Fields(request.data))
        min_bid_set(machine_id=machine_id, host=caller(request), micros_per_gpu_hour=price_micros, now=timezone.now())
        message = f"Machine {machine_id} takes bids from ${exact_dollars(price_micros)} per GPU and hour on."
        return reply({"success": True, "msg": message})


class MachineRemove(AccountView):
    """Takes a machine away from the marketplace."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Remove a machine for good")
    def post(self, request: Request, machine_id: int) -> HttpResponse:
        """Refused while clients have instances or volumes there."""
        machine_remove(machine_id=machine_id, host=caller(request), now=timezone.now())
        return reply({"success": True, "msg": f"Machine {machine_id} is removed."})


class InstallTokens(AccountView):
    """Tokens with which new machines join: for hosts that install many."""

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Create an install token")
    def post(self, request: Request) -> HttpResponse:
        """``name`` is the host's own note. The token registers one machine, and is not shown again."""
        name = Fields(request.data).text("name")
        token, raw = install_token_create(host=caller(request), now=timezone.now(), name=name)
        return reply({"success": True, "id": token.pk, "token": raw, "expires_at": token.expires_at.timestamp()})
