"""An agent joins: install token in, machine and credential out."""

import secrets
from datetime import datetime

from django.db import transaction

from agent.register_protocol import RegisterRequest
from billing.features import feature_on
from hosting import hooks
from hosting.agent_releases import require_protocol
from hosting.domain import hardware
from hosting.domain.features import ADD_MACHINES, SWITCHED_OFF
from hosting.domain.secrets import CREDENTIAL_PREFIX, secret_hash
from hosting.domain.texts import clean
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import InstallToken, Machine
from hosting.services.events import machine_event
from hosting.services.install_tokens import unused_token
from hosting.services.inventory import gpus_apply, inventory_apply, machine_columns
from hosting.services.machine_past import past_follow, reliability_inherit


@transaction.atomic
def machine_register(*, request: RegisterRequest, remote_address: str, now: datetime) -> tuple[Machine, str]:
    """Register the machine of an agent and return it with a fresh credential.

    Repeating a registration (same token, same ``boot_id``) returns the same machine with a new credential, so an agent
    that crashed before storing the first one simply tries again.

    Raises:
        HostingError: unsupported_protocol (426), bad_token (401), token_used (409), a hardware refusal (422),
            switched_off (503).
    """
    require_protocol(request.protocol)
    token = _usable_token(request, now)
    problem = hardware.refusal(request.inventory)
    if problem:
        raise HostingError(*problem, status=422)
    if token.machine_id is None:
        if not feature_on(ADD_MACHINES, token.host):
            raise HostingError("switched_off", SWITCHED_OFF, status=503)
        machine = _create(token, request, remote_address, now)
    else:
        machine = _renew(token.machine_id, request, remote_address, now)
    return machine, _give_credential(machine, request)


def _usable_token(request: RegisterRequest, now: datetime) -> InstallToken:
    token = (
        InstallToken.objects.select_for_update(of=("self",))
        .select_related("machine", "host")
        .filter(token_hash=secret_hash(request.token))
        .first()
    )
    machine = token.machine if token is not None and token.revoked_at is None else None
    if token is not None and machine is not None and machine.boot_id == request.boot_id:
        return token  # the machine that it has registered asks again
    return unused_token(token, now)


def _create(token: InstallToken, request: RegisterRequest, remote_address: str, now: datetime) -> Machine:
    if Machine.objects.filter(boot_id=request.boot_id).exists():
        raise HostingError(
            "already_registered",
            "This agent has registered a machine with another token already. Start it without --token.",
            status=409,
        )
    machine = Machine.objects.create(
        host_id=token.host_id,
        registered_at=now,
        boot_id=request.boot_id,
        credential_hash=token.token_hash,  # unique, until the machine's own follows in this transaction
        **machine_columns(request.inventory, remote_address),
    )
    gpus = gpus_apply(machine, request.inventory.gpus)
    token.machine = machine
    token.save(update_fields=["machine"])
    machine_event(machine, "registered", now=now, message=str(machine))
    past_follow(machine=machine, gpu_uuids=gpus.came, now=now)
    reliability_inherit(machine=machine, gpu_uuids=gpus.came, now=now)
    return machine


def _renew(machine_id: int, request: RegisterRequest, remote_address: str, now: datetime) -> Machine:
    """The machine may be rented out and listed by now, so what changes is written as by a report."""
    machine = lock_machine(machine_id)
    if inventory_apply(machine=machine, inventory=request.inventory, remote_address=remote_address, now=now):
        hooks.market().machine_changed(machine, now)
    machine_event(machine, "credential_renewed", now=now, message=str(machine))
    return machine


def _give_credential(machine: Machine, request: RegisterRequest) -> str:
    credential = CREDENTIAL_PREFIX + secrets.token_urlsafe(32)
    machine.credential_hash = secret_hash(credential)
    machine.agent_version = clean(request.agent_version, 40)
    machine.protocol = request.protocol
    machine.save(update_fields=["credential_hash", "agent_version", "protocol"])
    return credential
