"""What the published OpenAPI schema says about requests and answers."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

ANY_OBJECT = OpenApiTypes.OBJECT

DONE = inline_serializer("Done", {"success": serializers.BooleanField(), "msg": serializers.CharField(required=False)})
OFFERS = inline_serializer(
    "Offers", {"success": serializers.BooleanField(), "offers": serializers.ListField(child=serializers.DictField())}
)
RENTED = inline_serializer(
    "Rented",
    {
        "success": serializers.BooleanField(),
        "new_contract": serializers.IntegerField(help_text="The instance's id."),
        "rental_type": serializers.CharField(),
        "state": serializers.CharField(),
        "status_msg": serializers.CharField(allow_null=True, help_text="What it waits for, if it does."),
        "price": serializers.FloatField(allow_null=True, help_text="The bid; null on demand."),
        "min_bid": serializers.FloatField(allow_null=True, help_text="The least bid that runs now, dollars per hour."),
        "dph_total": serializers.FloatField(help_text="Dollars per hour while it runs."),
        "end_date": serializers.FloatField(help_text="When its lifetime ends, seconds since 1970."),
    },
)
BID = inline_serializer(
    "Bid",
    {
        "success": serializers.BooleanField(),
        "price": serializers.FloatField(help_text="The bid as it stands now, dollars per hour for all GPUs."),
        "min_bid": serializers.FloatField(allow_null=True, help_text="The least bid that would run or keep it now."),
        "state": serializers.CharField(help_text="Before the auction takes the bid in, which is a moment away."),
        "msg": serializers.CharField(),
    },
)
INSTANCES = inline_serializer(
    "Instances",
    {
        "success": serializers.BooleanField(),
        "instances": serializers.ListField(child=serializers.DictField()),
        "next_token": serializers.CharField(allow_null=True, required=False),
        "total_instances": serializers.IntegerField(required=False),
        "label_counts": serializers.DictField(child=serializers.IntegerField(), required=False),
    },
)
INSTANCE = inline_serializer(
    "Instance", {"success": serializers.BooleanField(), "instances": serializers.DictField(allow_null=True)}
)
PAGE_PARAMETERS = [
    OpenApiParameter("select_filters", str, description='JSON, like {"actual_status": {"in": ["running"]}}'),
    OpenApiParameter("order_by", str, description='JSON, like [{"col": "start_date", "dir": "desc"}]'),
    OpenApiParameter("select_cols", str, description='JSON list of columns, or ["*"]'),
    OpenApiParameter("limit", int, description="Rows per page, at most 25"),
    OpenApiParameter("after_token", str, description="The next_token of the page before"),
]


def without_slash_twins(endpoints: list[Any], **_: Any) -> list[Any]:
    """Every address answers with and without its last slash; the schema shows the first of the two."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for path, path_regex, method, callback in endpoints:
        twin = (path.rstrip("/"), method)
        if twin not in seen:
            seen.add(twin)
            kept.append((path, path_regex, method, callback))
    return kept
