"""The account's money: invoices, charges, earnings, deposits, transfers."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from billing import selectors as billing
from billing.domain.money import exact_dollars
from billing.domain.periods import Month, Period, day_of
from billing.selectors import UseSum
from billing.services import credit_transfer
from marketplace import selectors
from marketplace.access import instance_for
from marketplace.api import money_json as shapes
from marketplace.api.instance_json import dollars
from marketplace.api.money_query import (
    Filters,
    day_span,
    instant,
    limit_of,
    query_fields,
    span,
    token_of,
    values_of_token,
)
from marketplace.api.money_schema import (
    CHARGE_PARAMETERS,
    CONTRACTS,
    DEPOSIT,
    EARNINGS,
    EARNINGS_PARAMETERS,
    INVOICE_PARAMETERS,
    INVOICES,
    MY_INVOICES,
    MY_INVOICES_PARAMETERS,
    TRANSFER,
)
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.domain.query_fields import invalid, shown
from marketplace.domain.query_values import number
from marketplace.errors import MarketError
from marketplace.models import User
from marketplace.services.metering import gpu_reference, storage_reference

MOST_KEY_CHARS = 100
MOST_CONTRACTS = 1_000
CLOCK_TOLERANCE = timedelta(minutes=1)
CHARGE_TYPES = ("instance", "volume", "serverless")


class MyInvoices(AccountView):
    """Payments and charges of a time in one list: the older form."""

    @extend_schema(parameters=MY_INVOICES_PARAMETERS, responses=MY_INVOICES, summary="List payments and charges")
    def get(self, request: Request) -> HttpResponse:
        user, fields, now = caller(request), query_fields(request.query_params.dict()), timezone.now()
        until = instant(fields.number("edate", now.timestamp()) or 0, "edate")
        if abs(now - until) < CLOCK_TOLERANCE:
            until = now  # "up to now" by the caller's clock; what is accrued belongs to the instant of ours
        since = instant(fields.number("sdate", until.timestamp() - 86_400) or 0, "sdate")
        span(since, until, "sdate")
        rows = [shapes.payment_row(movement) for movement in billing.movements(user, since, until)]
        if fields.flag("inc_charges") or "inc_charges" not in fields:
            uses = billing.charges_by(user, ["day", "reference", "kind", "rate_micros"], since, until, now)
            rows += [shapes.charge_row(use, since, until) for use in uses]
        rows.sort(key=lambda row: row["timestamp"])
        return reply({"success": True, "invoices": rows, "current": _current(user, now)})


def _current(user: User, now: datetime) -> dict[str, float]:
    """The charges of this month so far, and what is left."""
    uses = billing.charges_by(user, ["kind"], Month.of(now).since, now, now)
    charged = dollars(sum(use.amount_micros for use in uses))
    credit = dollars(billing.balance_micros(user, now))
    return {"charges": charged, "service_fee": 0.0, "total": charged, "credit": credit}


class InvoicePages(AccountView):
    """Everything but use: payments, refunds, transfers, payouts, page by page."""

    @extend_schema(parameters=INVOICE_PARAMETERS, responses=INVOICES, summary="List invoices, page by page")
    def get(self, request: Request) -> HttpResponse:
        user, fields = caller(request), query_fields(request.query_params.dict())
        filters = Filters(fields.object("select_filters"), times="when", words="service")
        since, until = filters.span(timezone.now())
        kinds = _kinds(filters.words(shapes.SERVICES))
        limit = limit_of(fields)
        rows = billing.movements(
            user,
            since,
            until,
            kinds=kinds,
            limit=limit + 1,
            after=_after(fields),
            latest_first=fields.flag("latest_first"),
        )
        page, last = rows[:limit], rows[limit - 1] if len(rows) > limit else None
        token = None if last is None else token_of([last.occurred_at.isoformat(), last.posting_id])
        total = billing.movements_count(user, since, until, kinds=kinds)
        return _listing([shapes.invoice_row(row) for row in page], total, token)


def _kinds(services: list[str] | None) -> Collection[str]:
    if services is None:
        return billing.NOT_USE
    return {kind for service in services for kind in shapes.SERVICES[service]}


def _after(fields: Fields) -> tuple[datetime, int] | None:
    values = values_of_token(fields, [str, int])
    if values is None:
        return None
    try:
        at = datetime.fromisoformat(values[0])
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise invalid("after_token does not belong to this listing.", "after_token")
    return at, values[1]


def _listing(rows: list[dict[str, Any]], total: int, token: str | None) -> HttpResponse:
    return reply({"success": True, "results": rows, "count": len(rows), "total": total, "next_token": token})


class JsonWhateverFormat(DefaultContentNegotiation):
    """For addresses where ``format`` in the query is a word of their own and not one for how to encode the answer."""

    def select_renderer(self, _: Request, renderers: Iterable[BaseRenderer], *__: object) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class Charges(AccountView):
    """What instances were charged on whole days, page by page; as a tree with the days of each."""

    content_negotiation_class = JsonWhateverFormat

    @extend_schema(parameters=CHARGE_PARAMETERS, responses=INVOICES, summary="List charges, page by page")
    def get(self, request: Request) -> HttpResponse:
        user, fields, now = caller(request), query_fields(request.query_params.dict()), timezone.now()
        filters = Filters(fields.object("select_filters"), times="day", words="type")
        since, until = filters.span(now)
        form = fields.text("format", "table")
        if form not in ("table", "tree"):
            raise invalid(f"format must be table or tree, not {shown(form)}.", "format")
        types = filters.words(CHARGE_TYPES)
        period = Period(since.date(), until.date())
        things = _things(user, period, now, latest_first=fields.flag("latest_first"))
        wanted = [thing for thing in things if types is None or thing.partition(":")[0] in types]
        limit = limit_of(fields)
        page, token = _page(wanted, limit, values_of_token(fields, [str]))
        rows = _charge_rows(user, page, period, now, by_day=form == "tree")
        return _listing(rows, len(wanted), token)


def _things(user: User, period: Period, now: datetime, *, latest_first: bool) -> list[str]:
    """Everything that was charged in the period, such as "instance:12", by number."""
    uses = billing.charges_by(user, ["reference"], period.since, period.until, now)
    things = {shapes.thing_of(use.reference) for use in uses}
    ordered = sorted(things, key=lambda thing: (thing[1] or 0, thing[0]), reverse=latest_first)
    return [thing for thing, _ in ordered]


def _page(things: list[str], limit: int, after: list[str] | None) -> tuple[list[str], str | None]:
    if after is not None and after[0] not in things:
        raise invalid(
            "after_token does not belong to this listing: use the next_token of its last page.", "after_token"
        )
    begin = 0 if after is None else things.index(after[0]) + 1
    page = things[begin : begin + limit]
    return page, token_of([page[-1]]) if begin + limit < len(things) else None


def _charge_rows(user: User, things: list[str], period: Period, now: datetime, *, by_day: bool) -> list[dict[str, Any]]:
    uses = billing.charges_by(user, ["day", "reference", "kind"], period.since, period.until, now, things=things)
    by_thing: dict[str, list[UseSum]] = {}
    for use in uses:
        by_thing.setdefault(shapes.thing_of(use.reference)[0], []).append(use)
    described = _descriptions(user, things)
    return [
        shapes.instance_charges(thing, by_thing[thing], described.get(thing, ""), now, by_day=by_day)
        for thing in things
        if thing in by_thing
    ]


def _descriptions(user: User, things: list[str]) -> dict[str, str]:
    """What instances and volumes are, by thing."""
    numbers: dict[str, list[int]] = {"instance": [], "volume": []}
    for thing in things:
        number = shapes.thing_of(thing)[1]
        if number is not None:
            numbers.setdefault(thing.partition(":")[0], []).append(number)
    instances = selectors.instance_descriptions(user, numbers["instance"])
    volumes = selectors.volume_descriptions(user, numbers["volume"])
    return {f"instance:{pk}": text for pk, text in instances.items()} | {
        f"volume:{pk}": text for pk, text in volumes.items()
    }


class MachineEarnings(AccountView):
    """What the caller's machines earned on whole days."""

    @extend_schema(parameters=EARNINGS_PARAMETERS, responses=EARNINGS, summary="Show earnings of machines")
    def get(self, request: Request) -> HttpResponse:
        """``sday`` and ``eday`` are days since 1970; without them it is yesterday."""
        user, fields, now = caller(request), query_fields(request.query_params.dict()), timezone.now()
        yesterday = float(shapes.epoch_day(day_of(now)) - 1)
        last = fields.number("eday", yesterday)
        first = fields.number("sday", last)
        period = day_span(_known(first), _known(last), "sday")
        machine_id = fields.number("machid")
        earner = None if machine_id is None else f"machine:{_whole(machine_id)}"
        machines = billing.earnings_by(user, ["earner", "use"], period.since, period.until, now, earner=earner)
        days = billing.earnings_by(user, ["day", "use"], period.since, period.until, now, earner=earner)
        return reply({"success": True} | _earnings(user, machines, days, now))


def _known(value: float | None) -> float:
    return 0.0 if value is None else value


def _whole(value: float) -> int:
    if value != int(value) or not 0 < value < 2**53:
        raise MarketError("invalid_args", f"machid: {shown(value)} is not a machine's number.", field="machid")
    return int(value)


def _earnings(user: User, machines: list[UseSum], days: list[UseSum], now: datetime) -> dict[str, Any]:
    total = shapes.earned(machines)
    earned = dollars(billing.host_earnings_micros(user, now))
    earners = dict.fromkeys(use.earner for use in machines)
    dates = dict.fromkeys(use.day for use in days if use.day is not None)
    return {
        "summary": {
            "total_gpu": total["gpu_earn"],
            "total_stor": total["sto_earn"],
            "total_bwu": total["bwu_earn"],
            "total_bwd": total["bwd_earn"],
        },
        "current": {
            "balance": earned,
            "service_fee": 0.0,
            "total": earned,
            "credit": dollars(billing.balance_micros(user, now)),
        },
        "per_machine": [
            {"machine_id": shapes.thing_of(earner)[1]} | shapes.earned(use for use in machines if use.earner == earner)
            for earner in earners
        ],
        "per_day": [
            {"day": shapes.epoch_day(day)} | shapes.earned(use for use in days if use.day == day) for day in dates
        ],
    }


class InstanceBalance(AccountView):
    """What an instance has cost. Nothing is prepaid here: every instance is paid from the account's credit."""

    @extend_schema(responses=DEPOSIT, summary="Show an instance's deposit")
    def get(self, request: Request, instance_id: int) -> HttpResponse:
        user, now = caller(request), timezone.now()
        instance = instance_for(user, instance_id)
        totals = billing.meter_totals_micros([gpu_reference(instance), storage_reference(instance)], now)
        return reply(
            {
                "success": True,
                "instance_id": instance.pk,
                "balance": 0.0,
                "deposit": 0.0,
                "charged": dollars(sum(totals.values())),
                "credit": dollars(billing.balance_micros(user, now)),
            }
        )


class TransferCredit(AccountView):
    """Credit for another account."""

    @extend_schema(request=TRANSFER, responses=DONE, summary="Transfer credit to another account")
    def put(self, request: Request) -> HttpResponse:
        """Irreversible. The same request within two minutes is done once; an ``Idempotency-Key`` says it for ever."""
        user, fields = caller(request), Fields(request.data)
        fields.refuse_unknown(frozenset({"sender", "recipient", "amount"}))
        if fields.text("sender", "me") != "me":
            raise MarketError("invalid_args", "sender must be me.", field="sender")
        amount_micros = fields.micros("amount")
        transfer = credit_transfer(
            sender=user,
            recipient=_recipient(fields),
            amount_micros=amount_micros,
            now=timezone.now(),
            idempotency_key=_key(request),
        )
        amount = f"${exact_dollars(amount_micros)}"
        said = "was sent already; nothing was sent twice" if transfer.repeated else "was sent"
        return reply({"success": True, "msg": f"{amount} {said}.", "repeated": transfer.repeated})


def _recipient(fields: Fields) -> User:
    email = fields.text("recipient").strip()
    found = selectors.active_account(email) if "@" in email else None
    if found is None:
        raise MarketError(
            "no_such_account",
            f"There is no account with the e-mail address {shown(email)}.",
            status=404,
            field="recipient",
        )
    return found


def _key(request: Request) -> str:
    key = str(request.headers.get("Idempotency-Key", ""))
    if len(key) > MOST_KEY_CHARS or "\0" in key:
        raise MarketError("invalid_args", f"An Idempotency-Key has at most {MOST_KEY_CHARS} characters.")
    return key


class Contracts(AccountView):
    """Names of the caller's instances, also of destroyed ones."""

    @extend_schema(request=ANY_OBJECT, responses=CONTRACTS, summary="Look up contracts by id and label")
    def post(self, request: Request) -> HttpResponse:
        fields = Fields(request.data)
        label = fields.text("label") if "label" in fields else None
        found = selectors.contracts_of(caller(request), _contract_ids(fields), label)[:MOST_CONTRACTS]
        return reply({"success": True, "contracts": [{"id": pk, "label": name} for pk, name in found]})


def _contract_ids(fields: Fields) -> list[int] | None:
    ids = fields.get("contract_ids")
    if ids is None:
        return None
    numbers = [number(item) for item in ids] if isinstance(ids, list) else [None]
    if len(numbers) > MOST_CONTRACTS or any(
        item is None or item != int(item) or abs(item) >= 2**53 for item in numbers
    ):
        message = f"contract_ids must be a list of at most {MOST_CONTRACTS} whole numbers."
        raise MarketError("invalid_args", message, field="contract_ids")
    return [int(item) for item in numbers if item is not None]
