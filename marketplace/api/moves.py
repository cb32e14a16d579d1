"""Moves of an instance to another machine over the public API."""

from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from marketplace.access import instance_for
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.models import Instance, Move
from marketplace.move_offers import move_of
from marketplace.services.moves import move_begin, move_cancel

_KNOWN = frozenset({"client_id", "offer_id", "price"})


class InstanceMove(AccountView):
    """An instance goes on elsewhere, with its disk and its settings."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Move an instance to another machine")
    def put(self, request: Request, instance_id: int) -> HttpResponse:
        """``offer_id`` is rented at its terms: on demand, or with ``price`` as a bid in dollars per hour for all GPUs.
        The instance is stopped, its disk is sent, and ``new_contract`` starts with it; when that runs, the old instance
        is destroyed. Until then it is kept, and a move that fails or is canceled leaves it as it was."""
        user, fields = caller(request), Fields(request.data)
        fields.refuse_unknown(_KNOWN)
        move = move_begin(
            user=user,
            source_id=instance_id,
            offer_id=int(fields.number("offer_id", 0) or 0),
            bid_micros_per_hour=fields.micros("price") if "price" in fields else None,
            now=timezone.now(),
        )
        message = f"Instance {instance_id} moves to instance {move.target_id}."
        return reply({"success": True, "new_contract": move.target_id, "move": _row(move), "msg": message})

    @extend_schema(responses=ANY_OBJECT, summary="Show an instance's latest move")
    def get(self, request: Request, instance_id: int) -> HttpResponse:
        """``move`` is null where there was none."""
        instance = instance_for(caller(request), instance_id)
        latest = Move.objects.filter(Q(source=instance) | Q(target=instance)).order_by("-pk").first()
        return reply({"success": True, "move": None if latest is None else _row(latest) | _progress(instance)})

    @extend_schema(request=None, responses=DONE, summary="Cancel an instance's move")
    def delete(self, request: Request, instance_id: int) -> HttpResponse:
        """The old instance stays, as it was."""
        ended = move_cancel(user=caller(request), instance_id=instance_id, now=timezone.now())
        return reply({"success": True, "msg": "Canceled." if ended else "No move is under way."})


def _row(move: Move) -> dict[str, Any]:
    return {
        "source_id": move.source_id,
        "target_id": move.target_id,
        "state": move.state,
        "error": move.reason or None,
        "msg": move.message or None,
        "start_date": move.created_at.timestamp(),
    }


def _progress(instance: Instance) -> dict[str, Any]:
    view = move_of(instance)
    return {} if view is None else {"percent": view.percent, "msg": view.words or None}
