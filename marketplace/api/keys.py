"""SSH keys and API keys of the caller."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from marketplace.access import api_key_for
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.errors import MarketError
from marketplace.models import ApiKey, SshKey
from marketplace.selectors import api_keys_of, ssh_keys_of
from marketplace.services.keys import (
    api_key_create,
    api_key_revoke,
    ssh_key_add,
    ssh_key_delete,
    ssh_key_replace,
)

AREAS = ("instance", "user", "billing", "machine")
EVERY_PERMISSION: dict[str, dict[str, Any]] = {
    "api": {f"{area}_{access}": {} for area in AREAS for access in ("read", "write")} | {"misc": {}}
}
"""What every key may do: keys are not limited to parts of the API."""


def _ssh_key(key: SshKey) -> dict[str, Any]:
    return {
        "id": key.pk,
        "user_id": key.user_id,
        "public_key": key.public_key,
        "key_type": key.key_type,
        "fingerprint": key.fingerprint,
        "created_at": key.created_at.isoformat(),
        "deleted_at": None,
    }


class SshKeys(AccountView):
    """All SSH keys."""

    @extend_schema(responses=ANY_OBJECT, summary="List SSH keys")
    def get(self, request: Request) -> HttpResponse:
        return reply([_ssh_key(key) for key in ssh_keys_of(caller(request))])

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Add an SSH key")
    def post(self, request: Request) -> HttpResponse:
        text = Fields(request.data).text("ssh_key")
        key = ssh_key_add(user=caller(request), text=text, now=timezone.now())
        return reply({"success": True, "key": _ssh_key(key)})


class SshKeyDetail(AccountView):
    """One SSH key."""

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Replace an SSH key")
    def put(self, request: Request, key_id: int) -> HttpResponse:
        text = Fields(request.data).text("ssh_key")
        key = ssh_key_replace(user=caller(request), key_id=key_id, text=text, now=timezone.now())
        return reply({"success": True, "key": _ssh_key(key)})

    @extend_schema(request=None, responses=DONE, summary="Delete an SSH key")
    def delete(self, request: Request, key_id: int) -> HttpResponse:
        ssh_key_delete(user=caller(request), key_id=key_id, now=timezone.now())
        return reply({"success": True, "msg": f"SSH key {key_id} deleted."})


def _api_key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.pk,
        "name": key.name,
        "key_prefix": key.prefix,
        "permissions": EVERY_PERMISSION,
        "created_at": key.created_at.timestamp(),
        "last_used_at": key.last_used_at.timestamp() if key.last_used_at else None,
    }


class ApiKeys(AccountView):
    """All API keys."""

    @extend_schema(responses=ANY_OBJECT, operation_id="list_api_keys", summary="List API keys")
    def get(self, request: Request) -> HttpResponse:
        return reply({"success": True, "apikeys": [_api_key(key) for key in api_keys_of(caller(request))]})

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Create an API key; its text is shown once")
    def post(self, request: Request) -> HttpResponse:
        fields = Fields(request.data)
        _refuse_limits(fields)
        key, raw = api_key_create(user=caller(request), name=fields.text("name", "API key"), now=timezone.now())
        return reply({"success": True, "key": raw, **_api_key(key)})


def _refuse_limits(fields: Fields) -> None:
    """A key that was meant to be limited must not be able to do everything."""
    granted = fields.object("permissions").get("api", {})
    everything = isinstance(granted, dict) and EVERY_PERMISSION["api"].items() <= granted.items()
    if "permissions" in fields and not everything:
        needed = ", ".join(EVERY_PERMISSION["api"])
        raise MarketError(
            "invalid_args",
            f"Keys can't be limited yet: leave permissions out, or grant all of {needed} without conditions.",
            field="permissions",
        )
    if fields.get("key_params"):
        raise MarketError("invalid_args", "Keys can't be limited yet: leave key_params out.", field="key_params")


class ApiKeyDetail(AccountView):
    """One API key."""

    @extend_schema(responses=ANY_OBJECT, operation_id="show_api_key", summary="Show an API key, without its text")
    def get(self, request: Request, key_id: int) -> HttpResponse:
        return reply({"success": True, **_api_key(api_key_for(caller(request), key_id))})

    @extend_schema(request=None, responses=DONE, summary="Revoke an API key")
    def delete(self, request: Request, key_id: int) -> HttpResponse:
        api_key_revoke(user=caller(request), key_id=key_id, now=timezone.now())
        return reply({"success": True, "msg": f"API key {key_id} revoked."})
