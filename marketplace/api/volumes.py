"""Volumes over the public API, in the words of the command-line client."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from marketplace.access import volumes_of
from marketplace.api.schema import ANY_OBJECT, DONE, OFFERS
from marketplace.api.views import AccountView, PublicView, caller
from marketplace.api.volume_body import size_of, whole
from marketplace.api.volume_json import offer_as_volume, volume_json
from marketplace.api.wire import Fields, reply
from marketplace.domain.query import parse_query
from marketplace.domain.query_fields import shown
from marketplace.errors import MarketError
from marketplace.models import User
from marketplace.services.volumes import volume_delete, volume_rent
from marketplace.volume_offers import instances_on, search_volume_offers

MOST_KEY_CHARS = 255
_KNOWN = frozenset({"client_id", "api_key", "id", "size", "name"})
_TYPES = ("all_volume", "local_volume", "network_volume")


class VolumeSearch(PublicView):
    """Machines with disk to rent."""

    @extend_schema(request=ANY_OBJECT, responses=OFFERS, summary="Search for machines that have disk for volumes")
    def post(self, request: Request) -> HttpResponse:
        """The query language is that of offers. ``disk_space`` is what the machine has left, whatever its GPUs do."""
        found = search_volume_offers(parse_query(request.data), now=timezone.now())
        return reply({"success": True, "offers": [offer_as_volume(row) for row in found]})


class Volumes(AccountView):
    """The caller's volumes."""

    @extend_schema(responses=ANY_OBJECT, summary="List volumes")
    def get(self, request: Request) -> HttpResponse:
        kind = str(request.query_params.get("type", "all_volume")).strip('"')
        if kind not in _TYPES:
            raise MarketError("invalid_args", f"type: {shown(kind)} is none of {', '.join(_TYPES)}.", field="type")
        rows = [] if kind == "network_volume" else _rows(caller(request))
        return reply({"success": True, "volumes": rows})

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Create a volume")
    def put(self, request: Request) -> HttpResponse:
        """``id`` is of an offer of the machine, as volume search or offer search tell it; ``size`` in GB."""
        fields = Fields(request.data)
        fields.refuse_unknown(_KNOWN)
        if "id" not in fields:
            raise MarketError("invalid_args", "id: name the offer to create the volume on.", field="id")
        volume = volume_rent(
            client=caller(request),
            offer_id=whole(fields, "id"),
            size_gb=size_of(fields),
            label=fields.text("name").strip(),
            now=timezone.now(),
            idempotency_key=_key(str(request.headers.get("Idempotency-Key", ""))),
        )
        row = volume_json(volume, [], timezone.now())
        told = {"id": volume.pk, "volume_id": volume.pk, "volume_name": volume.name, "volume": row}
        return reply({"success": True} | told)

    @extend_schema(request=None, responses=DONE, summary="Delete a volume with all that is in it")
    def delete(self, request: Request) -> HttpResponse:
        """``?id=``: no instance may have it."""
        fields = Fields({"id": request.query_params.get("id")} if "id" in request.query_params else request.data)
        if "id" not in fields:
            raise MarketError("invalid_args", "id: name the volume to delete.", field="id")
        volume = volume_delete(user=caller(request), volume_id=whole(fields, "id"), now=timezone.now())
        return reply({"success": True, "msg": f"The volume {volume.name} is being deleted."})


def _rows(user: User) -> list[dict[str, Any]]:
    volumes, now = list(volumes_of(user)), timezone.now()
    attached = instances_on(volumes)
    return [volume_json(one, [each.pk for each in attached.get(one.pk, [])], now) for one in volumes]


def _key(text: str) -> str:
    if len(text) > MOST_KEY_CHARS or "\0" in text:
        raise MarketError("invalid_args", f"An Idempotency-Key has at most {MOST_KEY_CHARS} characters.")
    return text
