"""Maintenance of the caller's machines."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from hosting.market_prices import maintenance_of
from hosting.models import QuietPeriod
from hosting.selectors import machines_of
from hosting.services.quiet_periods import own_maintenance_announce, own_maintenance_cancel
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, parse_json, reply
from marketplace.errors import MarketError

_LATEST_EPOCH = 32_503_680_000
"""The year 3000: beyond it are no dates that were meant."""


class MachineMaintenance(AccountView):
    """Announce maintenance."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Announce maintenance of a machine")
    def put(self, request: Request, machine_id: int) -> HttpResponse:
        """``sdate`` in seconds since 1970, ``duration`` in hours; ``maintenance_category`` is told to clients."""
        fields = Fields(request.data)
        starts_at = _instant(fields)
        hours = fields.number("duration")
        if hours is None or not 0 < hours <= 24 * 365:
            raise MarketError("invalid_args", "duration: how many hours does it last?", field="duration")
        period = own_maintenance_announce(
            machine_id=machine_id,
            host=caller(request),
            starts_at=starts_at,
            ends_at=starts_at + timedelta(hours=hours),
            note=fields.text("maintenance_category").strip(),
            now=timezone.now(),
        )
        span = f"from {period.starts_at:%Y-%m-%d %H:%M} to {period.ends_at:%Y-%m-%d %H:%M} UTC"
        message = f"Maintenance of machine {machine_id} is announced {span}. Everybody who has something there is told."
        return reply({"success": True, "msg": message})


class MachineMaintenanceCancel(AccountView):
    """Call maintenance off."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Call off announced maintenance, or end it")
    def put(self, request: Request, machine_id: int) -> HttpResponse:
        number = own_maintenance_cancel(machine_id=machine_id, host=caller(request), now=timezone.now())
        if not number:
            raise MarketError("no_maintenance", f"No maintenance of machine {machine_id} is announced.", status=404)
        return reply({"success": True, "msg": f"Maintenance of machine {machine_id} is called off."})


class Maintenances(AccountView):
    """What is announced."""

    @extend_schema(responses=ANY_OBJECT, summary="List announced maintenance of machines")
    def get(self, request: Request) -> HttpResponse:
        """``machine_ids`` is a JSON list; all of the caller's machines without it."""
        asked = parse_json(str(request.query_params.get("machine_ids") or "null"))
        if asked is not None and not (isinstance(asked, list) and all(isinstance(one, int) for one in asked)):
            raise MarketError("invalid_args", "machine_ids: a list of machine numbers.", field="machine_ids")
        own = set(machines_of(caller(request)).values_list("pk", flat=True))
        wanted = own if asked is None else own & set(asked)
        return reply([_row(period) for period in maintenance_of(wanted, timezone.now())])


def _instant(fields: Fields) -> datetime:
    epoch = fields.number("sdate")
    if epoch is None or not 0 <= epoch <= _LATEST_EPOCH:
        raise MarketError("invalid_args", "sdate: when does it begin, in seconds since 1970?", field="sdate")
    return datetime.fromtimestamp(epoch, UTC)


def _row(period: QuietPeriod) -> dict[str, Any]:
    return {
        "machine_id": period.machine_id,
        "start_time": period.starts_at.timestamp(),
        "end_time": period.ends_at.timestamp(),
        "duration_hours": (period.ends_at - period.starts_at) / timedelta(hours=1),
        "maintenance_category": period.note,
    }
