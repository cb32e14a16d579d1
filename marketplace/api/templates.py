"""Templates over the API: search, create, update, delete."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from marketplace.api.schema import ANY_OBJECT
from marketplace.api.template_body import template_body
from marketplace.api.template_json import TEMPLATE_COLUMNS, template_json
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, parse_json, reply
from marketplace.domain.query_fields import invalid
from marketplace.domain.row_pages import Row, known_column, matching
from marketplace.errors import MarketError
from marketplace.models import Template, User
from marketplace.services.templates import template_create, template_delete, template_update
from marketplace.template_lists import template_chosen, templates_with_use

_PARAMETERS = [
    OpenApiParameter("select_filters", str, description='JSON, like {"name": {"eq": "PyTorch"}}'),
    OpenApiParameter("select_cols", str, description='JSON list of columns, or ["*"]'),
]


class Templates(AccountView):
    """Anyone sees the public templates; an account its own besides, and may make more."""

    def get_permissions(self) -> Any:
        """Reading needs no key."""
        return [AllowAny()] if self.request.method == "GET" else super().get_permissions()

    @extend_schema(parameters=_PARAMETERS, responses=ANY_OBJECT, summary="Search templates")
    def get(self, request: Request) -> HttpResponse:
        reader: Any = request.user
        rows = [template_json(template, reader) for template in templates_with_use(reader)]
        filters = _json(request.query_params.get("select_filters"), {})
        found = matching(rows, filters, TEMPLATE_COLUMNS)
        columns = _json(request.query_params.get("select_cols"), ["*"])
        return reply({"success": True, "templates_found": len(found), "templates": _selected(found, columns)})

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Create a template")
    def post(self, request: Request) -> HttpResponse:
        user, sent = caller(request), template_body(request.data)
        made = template_create(owner=user, content=sent.content, private=sent.private, now=timezone.now())
        return _told(made, user)

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Delete a template")
    def delete(self, request: Request) -> HttpResponse:
        user = caller(request)
        template = _named(user, Fields(request.data))
        template_delete(owner=user, template_id=template.pk, now=timezone.now())
        return reply({"success": True, "msg": f"Template {template.pk} is deleted."})


class TemplateUpdate(AccountView):
    """Another content for a template, which gets another hash with it."""

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Update a template")
    def put(self, request: Request) -> HttpResponse:
        """The whole template is sent: what is left out is empty afterwards."""
        user, fields, sent = caller(request), Fields(request.data), template_body(request.data)
        changed = template_update(
            owner=user,
            template_id=_named(user, fields).pk,
            content=sent.content,
            private=sent.private,
            expected_hash=fields.text("hash_id").strip(),
            now=timezone.now(),
        )
        return _told(changed, user)


def _told(template: Template, user: User) -> HttpResponse:
    row = templates_with_use(user).get(pk=template.pk)
    return reply({"success": True, "template": template_json(row, user)})


def _named(user: User, fields: Fields) -> Template:
    """The template that a number or a hash in the body names; a number is surer, as two may have one hash."""
    number = fields.number("id" if "id" in fields else "template_id")
    if number is None and "hash_id" not in fields:
        raise MarketError("invalid_args", "Name the template by hash_id or template_id.", field="hash_id")
    if number is None:
        return template_chosen(user, hash_id=fields.text("hash_id").strip()).template
    if number != int(number) or not 0 < number < 2**53:
        raise MarketError("no_such_template", "There is no such template.", status=404)
    return template_chosen(user, template_id=int(number)).template


def _json(text: str | None, default: Any) -> Any:
    return default if not text else parse_json(text)


def _selected(rows: list[Row], columns: object) -> list[Row]:
    if not isinstance(columns, list):
        raise invalid("select_cols must be a list of columns.", "select_cols")
    if "*" in columns:
        return rows
    names = [known_column(name, TEMPLATE_COLUMNS) for name in columns]
    return [{name: row[name] for name in names} for row in rows]
