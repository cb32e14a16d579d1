"""Copies between instances, in the words of the command-line client."""

import shlex

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from marketplace.access import instance_for
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.domain.query_fields import shown
from marketplace.errors import MarketError
from marketplace.models import User
from marketplace.services.copies import copies_cancel, copy_begin, ssh_addresses

_KNOWN = frozenset({"client_id", "src_id", "dst_id", "src_path", "dst_path"})
_LOCAL = (None, "", "local")


class CopyDirect(AccountView):
    """From one instance to another, on the same or on different machines."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Copy files from one instance to another")
    def put(self, request: Request) -> HttpResponse:
        """``src_id`` and ``dst_id`` are numbers of instances, also as "C.555"; both have to run. Paths mean what they
        mean to rsync: a source folder that ends in a slash gives what is in it, else the folder itself. Where one side
        is the caller's own computer, nothing is done here, and ``msg`` has the command that does it there."""
        user, fields = caller(request), Fields(request.data)
        fields.refuse_unknown(_KNOWN)
        source_path, target_path = fields.text("src_path"), fields.text("dst_path")
        if fields.get("src_id") in _LOCAL or fields.get("dst_id") in _LOCAL:
            return reply({"success": False, "msg": _command(user, fields, source_path, target_path)})
        copy = copy_begin(
            user=user,
            source_id=_instance_id(fields, "src_id"),
            target_id=_instance_id(fields, "dst_id"),
            source_path=source_path,
            target_path=target_path,
            now=timezone.now(),
        )
        message = f"{source_path} of instance {copy.source_id} is being copied to instance {copy.target_id}."
        return reply({"success": True, "copy_id": copy.pk, "msg": message})

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Cancel the copies into an instance")
    def delete(self, request: Request) -> HttpResponse:
        """What has arrived is kept."""
        user, fields = caller(request), Fields(request.data)
        ended = copies_cancel(user=user, target_id=_instance_id(fields, "dst_id"), now=timezone.now())
        return reply({"success": True, "canceled": ended, "msg": f"{ended} canceled."})


def _instance_id(fields: Fields, name: str) -> int:
    value = str(fields.get(name) if fields.get(name) is not None else "").removeprefix("C.")
    if not value.isascii() or not value.isdecimal() or not 0 < len(value) <= 18:
        message = f"{name}: {shown(fields.get(name))} is not an instance. Copies go between instances, such as C.555."
        raise MarketError("invalid_args", message, field=name)
    return int(value)


def _command(user: User, fields: Fields, source_path: str, target_path: str) -> str:
    """What does it on the caller's own computer."""
    from_here = fields.get("src_id") in _LOCAL
    if from_here and fields.get("dst_id") in _LOCAL:
        raise MarketError("invalid_args", "One side must be an instance, like C.555:/root/data.", field="dst_id")
    instance = instance_for(user, _instance_id(fields, "dst_id" if from_here else "src_id"))
    if instance.ssh_port is None:
        message = f"Instance {instance.pk} runs a command of its own, without SSH: nothing can be copied there."
        raise MarketError("no_ssh", message, status=409)
    host, port = ssh_addresses(instance)[0]
    remote_path = target_path if from_here else source_path
    name = f"[{host}]" if ":" in host else host
    remote, local = shlex.quote(f"root@{name}:{remote_path}"), shlex.quote(source_path if from_here else target_path)
    ends = f"{local} {remote}" if from_here else f"{remote} {local}"
    return f"Files of your own computer are copied by it. Run: rsync -avP -e 'ssh -p {port}' {ends}"
