"""What the fields of an offer are in SQL, as conditions and sorting see them: the mirror of offer_json."""

from functools import reduce
from operator import add
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import BooleanField, Case, F, FloatField, Func, IntegerField, Q, TextField, Value, When
from django.db.models.expressions import Combinable, ExpressionWrapper
from django.db.models.functions import Cast, Collate, Extract, Greatest, Least, Lower, NullIf, Replace

from marketplace.domain.offers import HOURS_PER_MONTH
from marketplace.domain.query_fields import FIELDS, Kind
from marketplace.offer_json import COPIED, FIXED, GB_PER_TB, MICROS, PRICES, Quote

Column = Any
"""A Django expression; the stubs have no type for everything that can be combined."""

_DOTTED_NUMBERS = r"^[0-9]{1,9}(\.[0-9]{1,9}){0,5}$"


def compared(field: str, quote: Quote) -> Column:
    """The field as searches compare it: numbers as floats, texts folded, what is not known NULL."""
    if field in _COMPARED_OTHERWISE:
        return _COMPARED_OTHERWISE[field]
    column = _value(field, quote)
    if FIELDS[field] is Kind.TEXT:
        folded = Replace(column, Value("_"), Value(" "), output_field=TextField())
        return NullIf(Lower(Collate(folded, "C")), Value(""), output_field=TextField())
    return ExpressionWrapper(column, FloatField()) if FIELDS[field] is Kind.NUMBER else column


def _value(field: str, quote: Quote) -> Column:
    if field in FIXED:
        return _constant(field)
    if quote.basis.adapted_to is not None and field in ("dlperf", "dlperf_is_estimate"):
        return _adapted(quote)[field]
    if field in COPIED:
        return F(COPIED[field])
    if field in PRICES:
        return _dollars(PRICES[field])
    if field in _COMPUTED:
        return _COMPUTED[field]
    if FIELDS[field] is Kind.TEXT:
        return F(field)
    return _quoted(quote)[field]


def _float(of: str | Combinable) -> Column:
    return Cast(of, FloatField())


def _dollars(micros_column: str) -> Column:
    return _float(micros_column) / MICROS


def _ratio(upper: Column, lower: Column) -> Column:
    """NULL where the divisor is zero."""
    return upper / NullIf(lower, _float(Value(0.0)))


def _truth(condition: Q) -> Column:
    return ExpressionWrapper(condition, output_field=BooleanField())


def _constant(field: str) -> Column:
    """A literal with its type, so that SQL compares and sorts by it like by a column."""
    kind = {Kind.FLAG: BooleanField, Kind.NUMBER: FloatField, Kind.TEXT: TextField}[FIELDS[field]]()
    return Cast(Value(FIXED[field], output_field=kind), kind)


def _quoted(quote: Quote) -> dict[str, Column]:
    """The fields that depend on the instant and on what is priced."""
    base = _dollars("min_bid_micros_per_hour" if quote.is_bid else "gpu_micros_per_hour")
    storage = _dollars("storage_micros_per_gb_month") * quote.storage_gb / float(HOURS_PER_MONTH)
    total = base + storage
    value = _ratio(_value("dlperf", quote), total)
    fit = _fit(quote)
    return {
        "rentable": _truth(Q(rentable=True, end_at__gt=quote.now)),
        "duration": _duration(quote),
        "is_bid": Cast(Value(quote.is_bid), BooleanField()),
        "dph_base": base,
        "storage_total_cost": storage,
        "dph_total": total,
        "discounted_dph_total": total,
        "dlperf_per_dphtotal": value,
        "flops_per_dphtotal": _ratio(F("total_flops_tflops"), total),
        "vram_costperhour": _ratio(total, _float("gpu_total_ram_mb")),
        "fit": fit,
        "score": value * F("reliability_lower") * F("reliability_lower") * fit,
    }


def _duration(quote: Quote) -> Column:
    return _COMPUTED["end_date"] - quote.now.timestamp()


def _fit(quote: Quote) -> Column:
    """``marketplace.domain.auto_order``: size_fit x time_fit."""
    asked = quote.asked
    lasts = Least(Greatest(_duration(quote) / asked.seconds, _float(Value(0.0))), _float(Value(1.0)))
    if asked.gpus is None:
        return ExpressionWrapper(lasts, FloatField())
    return (1.0 + _float(Value(asked.gpus)) / _float("num_gpus")) / 2.0 * lasts


def _adapted(quote: Quote) -> dict[str, Column]:
    """DLPerf as the search adapts it: the weighted columns of the precisions, in the order in which JSON adds them."""
    parts = [F(column) * _float(Value(weight)) for column, weight in quote.basis.columns]
    estimated = Q(dlperf_is_estimate=True) | (Q(dlperf_int8_is_estimate=True) if quote.basis.has_int8 else Q())
    return {"dlperf": reduce(add, parts), "dlperf_is_estimate": _truth(estimated)}


_COMPUTED: dict[str, Column] = {
    "internet_up_cost_per_tb": _dollars("inet_up_micros_per_gb") * GB_PER_TB,
    "internet_down_cost_per_tb": _dollars("inet_down_micros_per_gb") * GB_PER_TB,
    "datacenter": _truth(Q(hosting_type=1)),
    "verified": _truth(Q(verification="verified")),
    "vericode": Case(When(verification="verified", then=1), default=0, output_field=IntegerField()),
    "start_date": _float(Extract("start_at", "epoch")),
    "end_date": _float(Extract("end_at", "epoch")),
}

_COMPARED_OTHERWISE: dict[str, Column] = {
    "geolocation": NullIf(F("country"), Value(""), output_field=TextField()),
    "driver_version": NullIf(F("driver_vers"), Value(0), output_field=FloatField()),
    "os_version": Case(
        When(
            os_version__regex=_DOTTED_NUMBERS,
            then=Cast(Func(F("os_version"), Value("."), function="string_to_array"), ArrayField(IntegerField())),
        ),
        output_field=ArrayField(IntegerField()),
    ),
}
