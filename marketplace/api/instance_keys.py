"""SSH keys of one of the caller's instances."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from marketplace.access import instance_for
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.models import InstanceKey
from marketplace.services.instance_keys import instance_key_attach, instance_key_detach


def _key(key: InstanceKey) -> dict[str, Any]:
    return {
        "id": key.pk,
        "instance_id": key.instance_id,
        "public_key": key.public_key,
        "key_type": key.key_type,
        "fingerprint": key.fingerprint,
        "created_at": key.created_at.isoformat(),
    }


class InstanceKeys(AccountView):
    """All keys of an instance's own; those of the account open it besides."""

    @extend_schema(responses=ANY_OBJECT, operation_id="list_instance_keys", summary="List an instance's own SSH keys")
    def get(self, request: Request, instance_id: int) -> HttpResponse:
        keys = instance_for(caller(request), instance_id).ssh_keys.order_by("pk")
        return reply({"success": True, "ssh_keys": [_key(key) for key in keys]})

    @extend_schema(request=ANY_OBJECT, responses=ANY_OBJECT, summary="Attach an SSH key to an instance")
    def post(self, request: Request, instance_id: int) -> HttpResponse:
        text = Fields(request.data).text("ssh_key")
        key = instance_key_attach(user=caller(request), instance_id=instance_id, text=text, now=timezone.now())
        return reply({"success": True, "msg": f"The key opens instance {instance_id} now.", "key": _key(key)})


class InstanceKeyDetail(AccountView):
    """One key of an instance's own."""

    @extend_schema(request=None, responses=DONE, summary="Detach an SSH key from an instance")
    def delete(self, request: Request, instance_id: int, key_id: int) -> HttpResponse:
        instance_key_detach(user=caller(request), instance_id=instance_id, key_id=key_id, now=timezone.now())
        return reply({"success": True, "msg": f"SSH key {key_id} no longer opens instance {instance_id}."})
