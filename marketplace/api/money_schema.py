"""What the published OpenAPI schema says about money."""

from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

_PAGES = [
    OpenApiParameter("latest_first", bool, description="Newest first; oldest first without it"),
    OpenApiParameter("limit", int, description="Rows per page, at most 100; 20 without it"),
    OpenApiParameter("after_token", str, description="The next_token of the page before"),
]
INVOICE_PARAMETERS = [
    OpenApiParameter(
        "select_filters",
        str,
        description='JSON, like {"when": {"gte": 1793491200, "lte": 1794096000}, "service": {"in": ["transfer"]}}; '
        "times are seconds since 1970, without them it is the last week",
    ),
    *_PAGES,
]
CHARGE_PARAMETERS = [
    OpenApiParameter(
        "select_filters",
        str,
        description='JSON, like {"day": {"gte": 1793491200, "lte": 1794096000}, "type": {"in": ["instance"]}}; '
        "the days of UTC that these seconds since 1970 are in",
    ),
    OpenApiParameter("format", str, enum=["table", "tree"], description="tree: each instance with its days"),
    *_PAGES,
]
MY_INVOICES_PARAMETERS = [
    OpenApiParameter("sdate", float, description="After this, seconds since 1970; a day before edate without it"),
    OpenApiParameter("edate", float, description="Up to this, seconds since 1970; now without it"),
    OpenApiParameter("inc_charges", bool, description="Charges too, which is so without it"),
]
EARNINGS_PARAMETERS = [
    OpenApiParameter("sday", float, description="First day, in days since 1970"),
    OpenApiParameter("eday", float, description="Last day, in days since 1970; yesterday without it"),
    OpenApiParameter("machid", int, description="One machine only"),
]
INVOICES = inline_serializer(
    "Invoices",
    {
        "success": serializers.BooleanField(),
        "results": serializers.ListField(child=serializers.DictField()),
        "count": serializers.IntegerField(help_text="Rows on this page."),
        "total": serializers.IntegerField(help_text="Rows in all."),
        "next_token": serializers.CharField(allow_null=True),
    },
)
MY_INVOICES = inline_serializer(
    "MyInvoices",
    {
        "success": serializers.BooleanField(),
        "invoices": serializers.ListField(child=serializers.DictField()),
        "current": serializers.DictField(child=serializers.FloatField()),
    },
)
EARNINGS = inline_serializer(
    "Earnings",
    {
        "success": serializers.BooleanField(),
        "summary": serializers.DictField(child=serializers.FloatField()),
        "current": serializers.DictField(child=serializers.FloatField()),
        "per_machine": serializers.ListField(child=serializers.DictField()),
        "per_day": serializers.ListField(child=serializers.DictField()),
    },
)
DEPOSIT = inline_serializer(
    "Deposit",
    {
        "success": serializers.BooleanField(),
        "instance_id": serializers.IntegerField(),
        "balance": serializers.FloatField(help_text="Prepaid for this instance: nothing ever is."),
        "deposit": serializers.FloatField(),
        "charged": serializers.FloatField(help_text="All that it has cost up to now, in dollars."),
        "credit": serializers.FloatField(help_text="The account's credit, in dollars."),
    },
)
TRANSFER = inline_serializer(
    "Transfer",
    {
        "sender": serializers.CharField(required=False, help_text="me"),
        "recipient": serializers.CharField(help_text="The other account's e-mail address."),
        "amount": serializers.FloatField(help_text="Dollars, at least one."),
    },
)
CONTRACTS = inline_serializer(
    "Contracts",
    {"success": serializers.BooleanField(), "contracts": serializers.ListField(child=serializers.DictField())},
)
