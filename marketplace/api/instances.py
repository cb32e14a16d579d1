"""The caller's instances: lists, one, start, stop, reboot, label, destroy."""

from collections import Counter
from typing import Any

from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from billing.domain.money import exact_dollars
from marketplace.access import instance_for
from marketplace.api.instance_json import INSTANCE_COLUMNS, dollars, instance_json
from marketplace.api.schema import ANY_OBJECT, BID, DONE, INSTANCE, INSTANCES, PAGE_PARAMETERS
from marketplace.api.usage_json import usages
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, parse_json, reply
from marketplace.domain.query_fields import invalid, shown
from marketplace.domain.query_values import number
from marketplace.domain.row_pages import Row, known_column, matching, page_of
from marketplace.errors import MarketError
from marketplace.models import User
from marketplace.selectors import instances_of, instances_with_min_bids, min_bid_now
from marketplace.services.bids import bid_change
from marketplace.services.bulk import Change, instances_change
from marketplace.services.lifecycle import (
    instance_destroy,
    instance_label,
    instance_reboot,
    instance_start,
    instance_stop,
)

MOST_PER_PAGE = 25
MOST_AT_ONCE = 256
STATES: dict[str, Change] = {"running": instance_start, "stopped": instance_stop}


def _rows(user: User) -> list[Row]:
    now = timezone.now()
    found = instances_with_min_bids(instances_of(user).order_by("pk"))
    used = usages(found)
    return [instance_json(instance, now, used[instance.pk]) for instance in found]


class InstancePages(AccountView):
    """The list with filters, order and pages."""

    @extend_schema(parameters=PAGE_PARAMETERS, responses=INSTANCES, summary="List instances, page by page")
    def get(self, request: Request) -> HttpResponse:
        asked = request.query_params
        rows = matching(_rows(caller(request)), _json(asked.get("select_filters"), {}), INSTANCE_COLUMNS)
        page = page_of(
            rows,
            _json(asked.get("order_by"), [{"col": "id", "dir": "asc"}]),
            limit=_limit(asked.get("limit")),
            after=asked.get("after_token") or None,
            columns=INSTANCE_COLUMNS,
        )
        labels = Counter(row["label"] or "" for row in rows)
        return reply(
            {
                "success": True,
                "instances": _selected(page.rows, _json(asked.get("select_cols"), ["*"])),
                "next_token": page.next_token,
                "total_instances": page.total,
                "label_counts": dict(labels),
            }
        )


def _json(text: str | None, default: Any) -> Any:
    return default if not text else parse_json(text)


def _limit(text: str | None) -> int:
    """Pages have at most 25 rows; whoever asks for more gets 25 and a token for the rest."""
    limit = number(text) if text else float(MOST_PER_PAGE)
    if limit is None or limit < 1:
        raise invalid(f"limit must be a number from 1 to {MOST_PER_PAGE}, not {shown(text)}.", "limit")
    return int(min(limit, MOST_PER_PAGE))


def _selected(rows: list[Row], columns: object) -> list[Row]:
    if not isinstance(columns, list):
        raise invalid("select_cols must be a list of columns.", "select_cols")
    if "*" in columns:
        return rows
    names = [known_column(name, INSTANCE_COLUMNS) for name in columns]
    return [{name: row[name] for name in names if name in row} for row in rows]


class Instances(AccountView):
    """All instances at once, and the same change for several."""

    @extend_schema(responses=INSTANCES, operation_id="list_instances", summary="List instances")
    def get(self, request: Request) -> HttpResponse:
        rows = _rows(caller(request))
        return reply({"success": True, "instances": rows, "instances_found": len(rows)})

    @extend_schema(
        request=ANY_OBJECT, responses=DONE, operation_id="change_instances", summary="Start or stop several instances"
    )
    def put(self, request: Request) -> HttpResponse:
        fields = Fields(request.data)
        act = _state_change(fields)
        return _for_each(caller(request), _ids(fields, "ids"), act)

    @extend_schema(
        request=ANY_OBJECT, responses=DONE, operation_id="destroy_instances", summary="Destroy several instances"
    )
    def delete(self, request: Request) -> HttpResponse:
        return _for_each(caller(request), _ids(Fields(request.data), "instance_ids"), instance_destroy)


def _state_change(fields: Fields) -> Change:
    state = fields.text("state")
    if state not in STATES:
        raise MarketError("invalid_args", f"state must be running or stopped, not {shown(state)}.", field="state")
    return STATES[state]


def _ids(fields: Fields, name: str) -> list[int]:
    ids = fields.get(name)
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_AT_ONCE:
        raise MarketError("invalid_args", f"{name} must be a list of 1 to {MOST_AT_ONCE} instance ids.", field=name)
    numbers = [number(item) for item in ids]
    if any(item is None or item != int(item) or not 0 < item < 2**53 for item in numbers):
        raise MarketError("invalid_args", f"{name} must hold whole numbers.", field=name)
    return [int(item) for item in numbers if item is not None]


def _for_each(user: User, ids: list[int], change: Change) -> HttpResponse:
    changed = instances_change(user=user, instance_ids=ids, change=change, now=timezone.now())
    return reply({"success": True, "ids": changed})


class InstanceFilters(AccountView):
    """Which values the list can be filtered by."""

    @extend_schema(responses=ANY_OBJECT, summary="Values to filter instances by")
    def get(self, request: Request) -> HttpResponse:
        names = ("actual_status", "verification", "gpu_name")
        rows = _rows(caller(request))
        found = dict.fromkeys(tuple(row[name] for name in names) for row in rows)
        return reply({"success": True, "filters": [dict(zip(names, values, strict=True)) for values in found]})


class InstanceDetail(AccountView):
    """One instance."""

    @extend_schema(responses=INSTANCE, operation_id="show_instance", summary="Show an instance")
    def get(self, request: Request, instance_id: int) -> HttpResponse:
        """One object under the plural name, or null when the caller has no such instance: what the clients expect."""
        found = instances_with_min_bids(instances_of(caller(request)).filter(pk=instance_id))
        row = instance_json(found[0], timezone.now(), usages(found)[instance_id]) if found else None
        return reply({"success": True, "instances": row})

    @extend_schema(
        request=ANY_OBJECT, responses=DONE, operation_id="change_instance", summary="Start, stop or label an instance"
    )
    def put(self, request: Request, instance_id: int) -> HttpResponse:
        user, fields, now = caller(request), Fields(request.data), timezone.now()
        if "state" not in fields and fields.get("label") is None:
            raise MarketError("invalid_args", "Send state (running or stopped) or label.")
        instance_for(user, instance_id)
        with transaction.atomic():
            if "label" in fields:
                instance_label(instance_id=instance_id, actor=user, label=fields.text("label"), now=now)
            if "state" in fields:
                _state_change(fields)(instance_id=instance_id, actor=user, now=now)
        return reply({"success": True})

    @extend_schema(
        request=None, responses=DONE, operation_id="destroy_instance", summary="Destroy an instance and its disk"
    )
    def delete(self, request: Request, instance_id: int) -> HttpResponse:
        user = caller(request)
        instance_for(user, instance_id)
        instance_destroy(instance_id=instance_id, actor=user, now=timezone.now())
        return reply({"success": True})


class InstanceReboot(AccountView):
    """Stop and start on the same GPUs."""

    @extend_schema(request=None, responses=DONE, summary="Reboot an instance")
    def put(self, request: Request, instance_id: int) -> HttpResponse:
        user = caller(request)
        instance_for(user, instance_id)
        instance_reboot(instance_id=instance_id, actor=user, now=timezone.now())
        return reply({"success": True})


class InstanceBid(AccountView):
    """The bid of an interruptible instance."""

    @extend_schema(request=ANY_OBJECT, responses=BID, summary="Change a bid")
    def put(self, request: Request, instance_id: int) -> HttpResponse:
        """``price`` is dollars per hour for all GPUs of the instance; null bids the least that wins now."""
        user, fields = caller(request), Fields(request.data)
        fields.refuse_unknown(frozenset({"client_id", "price"}))
        price_micros = fields.micros("price") if "price" in fields else None
        bid = bid_change(instance_id=instance_id, client=user, price_micros=price_micros, now=timezone.now())
        instance = instance_for(user, instance_id)
        least = min_bid_now(instance)
        return reply(
            {
                "success": True,
                "price": dollars(bid.micros_per_hour),
                "min_bid": None if least is None else dollars(least),
                "state": instance.state,
                "msg": f"The bid of instance {instance_id} is ${exact_dollars(bid.micros_per_hour)} per hour.",
            }
        )
