"""Search of offers, GPU names, and renting."""

from dataclasses import replace
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from dlperf.catalogue import gpu_models
from marketplace.api.instance_json import dollars
from marketplace.api.rent_body import rent_request
from marketplace.api.rent_login import without_login
from marketplace.api.schema import ANY_OBJECT, OFFERS, RENTED
from marketplace.api.template_body import expand_template
from marketplace.api.views import AccountView, PublicView, caller
from marketplace.api.wire import Fields, parse_json, reply
from marketplace.domain.query import parse_query
from marketplace.domain.query_fields import invalid, shown, suggestion
from marketplace.models import Instance
from marketplace.search import gpu_names, search_offers
from marketplace.selectors import min_bid_now
from marketplace.services.rent import instance_rent


class Bundles(PublicView):
    """Search. The body is the query object itself.

    ``dlperf_precision`` (fp32, fp16, bf16, int8) or ``dlperf_image`` (an image's name) in it say what DLPerf, and all
    that is reckoned from it, is to stand for.
    """

    @extend_schema(request=ANY_OBJECT, responses=OFFERS, summary="Search offers")
    def post(self, request: Request) -> HttpResponse:
        return _found(request.data)

    @extend_schema(responses=OFFERS, summary="Search offers, the query as JSON in ?q=")
    def get(self, request: Request) -> HttpResponse:
        return _found(parse_json(request.query_params.get("q", "{}")))


class SearchAsks(PublicView):
    """Search, with the query in ``q`` and the wanted columns in ``select_cols``."""

    @extend_schema(request=ANY_OBJECT, responses=OFFERS, summary="Search offers, choosing columns")
    def put(self, request: Request) -> HttpResponse:
        fields = Fields(request.data)
        return _found(fields.object("q"), fields.texts("select_cols"))


def _found(query: object, columns: tuple[str, ...] | None = None) -> HttpResponse:
    offers = search_offers(parse_query(query), now=timezone.now())
    if columns and "*" not in columns:
        offers = [_selected(offer, columns) for offer in offers]
    return reply({"success": True, "offers": offers})


def _selected(offer: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    unknown = next((name for name in columns if name not in offer), None)
    if unknown is not None:
        raise invalid(f"Offers have no field {shown(unknown)}.{suggestion(unknown, offer)}", "select_cols")
    return {name: offer[name] for name in columns}


class GpuNames(PublicView):
    """The GPU models on the market."""

    @extend_schema(responses=ANY_OBJECT, summary="GPU models on the market")
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002 - the framework's signature
        return reply({"gpu_names": gpu_names()})


class GpuTypes(PublicView):
    """The GPU models that the marketplace knows, with their memory."""

    @extend_schema(responses=ANY_OBJECT, summary="Known GPU models")
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002 - the framework's signature
        models = gpu_models().values()
        rows = [{"canonical_name": model.name, "gpu_ram_mb": round(model.vram_gb * 1024)} for model in models]
        return reply({"gpu_types": rows})


class Ask(AccountView):
    """One offer, to be rented."""

    @extend_schema(request=ANY_OBJECT, responses=RENTED, summary="Rent an offer")
    def put(self, request: Request, offer_id: int) -> HttpResponse:
        user = caller(request)
        body, template = expand_template(user, request.data)
        body, login = without_login(user, body)
        container = rent_request(body, request.headers.get("Idempotency-Key", ""))
        wanted = replace(container, template=template, registry_login=login)
        instance = instance_rent(client=user, offer_id=offer_id, request=wanted, now=timezone.now())
        return reply(_contract(instance))


def _contract(instance: Instance) -> dict[str, Any]:
    """What was agreed, so that nobody has to guess which kind of rental it is and what it costs."""
    return {
        "success": True,
        "new_contract": instance.pk,
        "rental_type": instance.rental_type,
        "state": instance.state,
        "status_msg": instance.status_message or None,
        "price": None if instance.bid_micros_per_hour is None else dollars(instance.bid_micros_per_hour),
        "min_bid": None if (least := min_bid_now(instance)) is None else dollars(least),
        "dph_total": dollars(instance.gpu_micros_per_hour + instance.storage_micros_per_hour),
        "end_date": instance.end_at.timestamp(),
    }
