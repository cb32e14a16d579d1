"""What of the caller's machines is free, and what expired contracts left there."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from hosting.access import machine_for
from hosting.selectors import machines_of
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.errors import MarketError
from marketplace.machine_room import MachineRoom, machine_rooms
from marketplace.models import User
from marketplace.services.cleanup import cleanup_sentence, machine_cleanup

LARGEST_ID = 2**63 - 1


class DefragmentOffers(AccountView):
    """The free GPUs of machines."""

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Tell what can be rented together")
    def put(self, request: Request) -> HttpResponse:
        """``machine_ids`` is a list; without it all of the caller's machines. Any free GPUs of a machine can be rented
        together, so nothing has to be moved, and nothing is."""
        user = caller(request)
        rooms = machine_rooms(_machine_ids(user, Fields(request.data)))
        told = [f"Machine {each.machine_id}: {each.sentence}" for each in rooms]
        message = "\n".join(told) or "You have no machines."
        return reply({"success": True, "msg": message, "machines": [_row(each) for each in rooms]})


class MachineCleanup(AccountView):
    """What is left of expired contracts."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Remove what expired contracts left on a machine")
    def put(self, request: Request, machine_id: int) -> HttpResponse:
        """Disks that are kept for their clients for a while longer stay for so long."""
        cleaned = machine_cleanup(machine_id=machine_id, host=caller(request), now=timezone.now())
        left = cleaned.left
        message = cleanup_sentence(cleaned)
        return reply({"success": True, "msg": message, "ended": cleaned.ended, "kept": left.kept, "going": left.going})


def _machine_ids(user: User, fields: Fields) -> list[int]:
    """Raises MarketError(invalid_args); HostingError(no_such_machine, 404) for one of somebody else."""
    asked = fields.get("machine_ids")
    if asked is None:
        return list(machines_of(user).values_list("pk", flat=True))
    if not isinstance(asked, list) or not all(_is_id(one) for one in asked):
        raise MarketError("invalid_args", "machine_ids: a list of machine numbers.", field="machine_ids")
    return [machine_for(user, one).pk for one in dict.fromkeys(asked)]


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_ID


def _row(each: MachineRoom) -> dict[str, Any]:
    room = each.room
    return {
        "machine_id": each.machine_id,
        "num_gpus": room.gpus,
        "free_gpus": room.free,
        "rented_on_demand": room.on_demand,
        "rented_by_bids": room.bids,
        "largest_rentable": room.rentable,
        "offered_sizes": list(each.offered_sizes),
        "moved": 0,
    }
