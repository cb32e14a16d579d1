"""Moves of instances to other machines: a new contract, the old one's disk, and the old one's end."""

import secrets
from datetime import datetime
from typing import Any

import structlog
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction

from billing.features import feature_on
from hosting.domain import jobs
from hosting.errors import HostingError
from hosting.models import Job, PortLease
from hosting.sealed_secrets import unseal_secrets
from hosting.services.jobs import job_ask, job_cancel
from hosting.services.relay_leases import relay_lease
from hosting.services.tasks import ports_lease
from marketplace.access import instance_for
from marketplace.domain import instance_states as states
from marketplace.domain import moves
from marketplace.domain.features import FEATURES, MOVE
from marketplace.domain.moves import Do, Facts, Next
from marketplace.domain.rent import SSH_PORT, RentRequest, TemplateUsed
from marketplace.errors import MarketError
from marketplace.locks import lock_instance
from marketplace.models import Instance, InstanceKey, Move, Offer
from marketplace.services.clearing import machine_clear
from marketplace.services.copies import ssh_addresses
from marketplace.services.destroying import instance_destroy_now
from marketplace.services.lifecycle import instance_start
from marketplace.services.metering import storage_starts
from marketplace.services.rent import instance_rent
from marketplace.services.stopping import instance_stop_now
from marketplace.services.transition import instance_event

logger = structlog.get_logger(__name__)

_TOKEN_BYTES = 32


def move_begin(
    *, user: AbstractBaseUser, source_id: int, offer_id: int, bid_micros_per_hour: int | None, now: datetime
) -> Move:
    """Rent the offer for what the source is, and begin to bring its disk there.

    The target does not run, and holds no GPUs, before it has the disk. Raises MarketError: no_such_instance (404),
    switched_off (503), cannot_move (409), and what ``instance_rent`` raises.
    """
    source = instance_for(user, source_id)
    if not feature_on(MOVE, user):
        raise MarketError("switched_off", FEATURES[MOVE].refusal, status=503)
    offer = Offer.objects.filter(pk=offer_id).first()
    _refuse_senseless(source, offer)
    request = request_like(source, bid_micros_per_hour)
    try:
        with transaction.atomic():
            target = instance_rent(client=user, offer_id=offer_id, request=request, now=now, moved_from=source)
            move = Move.objects.create(client_id=user.pk, source=source, target=target, created_at=now, state_since=now)
            _give_keys(source, target)
            _tell(move, "asked", f"Instance {source.pk} moves to instance {target.pk}.", now, user)
    except IntegrityError as error:
        raise _cannot(f"Instance {source.pk} is being moved already.") from error
    return move


def _give_keys(source: Instance, target: Instance) -> None:
    """Those that open the source besides its account's; renting brings the agent's list up to date after the commit."""
    columns = ("public_key", "key_type", "comment", "fingerprint", "created_at")
    rows = source.ssh_keys.order_by("pk").values(*columns)
    InstanceKey.objects.bulk_create([InstanceKey(instance=target, **row) for row in rows])


def _refuse_senseless(source: Instance, offer: Offer | None) -> None:
    if source.task.run_generation == 0:
        raise _cannot("The instance has never run, so there is nothing to move. Rent the other offer instead.")
    if source.task.volume_mounts.exists():
        raise _cannot(
            "The instance has a volume, which stays on its machine. Copy what you need to an instance elsewhere."
        )
    if source.task.reason == "container_lost":
        raise _cannot("The instance's disk is lost, so there is nothing to move.")
    is_interruptible = source.bid_micros_per_hour is not None
    movable = moves.CAN_MOVE_STOPPED | moves.CAN_MOVE_WAITING | (moves.CAN_MOVE_RUNNING if is_interruptible else set())
    if source.state not in movable:
        raise _cannot(f"Instance {source.pk} is {source.state}. Stop it first, then move it.")
    if source.moves_out.filter(settled_at=None).exists() or _arrives(source):
        raise _cannot(f"Instance {source.pk} is being moved already.")
    if offer is not None and offer.machine_id == source.machine_id:
        raise _cannot("That offer is of the same machine. Choose one of another machine.")
    if offer is not None and offer.cpu_arch != source.offer.cpu_arch:
        raise _cannot(f"That machine has another kind of processor ({offer.cpu_arch}); the disk would not run there.")


def _arrives(instance: Instance) -> bool:
    return Move.objects.filter(target=instance, settled_at=None).exists()


def _cannot(message: str) -> MarketError:
    return MarketError("cannot_move", message, status=409)


def request_like(source: Instance, bid_micros_per_hour: int | None) -> RentRequest:
    """The rental of what the source is."""
    leases = PortLease.objects.filter(task=source.task, released_at=None).order_by("container_port", "protocol")
    own = (SSH_PORT, "tcp")
    ports = tuple((one.container_port, one.protocol) for one in leases if (one.container_port, one.protocol) != own)
    return RentRequest(
        image=source.image,
        disk_gb=source.disk_gb,
        mode=source.mode,
        runtype=source.runtype,
        bid_micros_per_hour=bid_micros_per_hour,
        accepts_waiting=bid_micros_per_hour is not None,
        idempotency_key=f"move:{secrets.token_hex(8)}",
        args=tuple(source.args),
        entrypoint=source.entrypoint,
        env=source.env,
        ports=ports,
        onstart=source.onstart,
        label=source.label,
        use_jupyter_lab=source.use_jupyter_lab,
        jupyter_dir=source.jupyter_dir,
        template=_template_used(source),
    )


def _template_used(source: Instance) -> TemplateUsed | None:
    """Nothing where the template has been deleted since."""
    if source.template_id is None:
        return None
    return TemplateUsed(template_id=source.template_id, hash_id=source.template_hash, name=source.template_name)


def move_cancel(*, user: AbstractBaseUser, instance_id: int, now: datetime) -> bool:
    """Give up the open move of an instance, source or target; the source is then as it was. False where none is open.

    Raises MarketError(no_such_instance, 404).
    """
    instance = instance_for(user, instance_id)
    move = Move.objects.filter(client_id=user.pk, state__in=moves.OPEN, settled_at=None)
    found = move.filter(source=instance).first() or move.filter(target=instance).first()
    if found is None or not _change(found, moves.CANCELED, now, actor=user, reason="client", message="Canceled."):
        return False
    _settle(found, now)
    return True


def moves_sweep(*, now: datetime) -> int:
    """Take each unsettled move a step further; returns how many got on."""
    found = Move.objects.filter(settled_at=None).order_by("pk").values_list("pk", flat=True)
    return sum(_swept(pk, now) for pk in list(found))


def _swept(move_id: int, now: datetime) -> bool:
    """One that fails must not keep the others waiting."""
    try:
        return _advance(
            Move.objects.select_related("source__task", "target__task", "sending", "receiving").get(pk=move_id), now
        )
    except Exception:
        logger.exception("move_sweep_failed", move_id=move_id)
        return False


def _advance(move: Move, now: datetime) -> bool:
    if move.state not in moves.OPEN:
        _settle(move, now)
        return True
    step = next_step(move)
    try:
        return _carried_out(move, step, now)
    except MarketError as refusal:
        # As no credit, or no free port: it would be refused again.
        fresh = Move.objects.get(pk=move.pk)
        _change(fresh, moves.FAILED, now, reason=refusal.code, message=refusal.message)
        _settle(fresh, now)
        return True


def _carried_out(move: Move, step: Next, now: datetime) -> bool:
    match step.do:
        case Do.NOTHING:
            return False
        case Do.STOP_SOURCE:
            _stop_source(move, now)
        case Do.PACK:
            _pack(move, now)
        case Do.SEND:
            _send(move, now)
        case Do.START_TARGET:
            _start_target(move, now)
        case Do.FINISH:
            _change(move, moves.DONE, now, message=f"Instance {move.target_id} runs in its place.")
            _settle(move, now)
        case Do.FAIL:
            _change(move, moves.FAILED, now, reason=step.reason, message=step.message)
            _settle(move, now)
    return True


def next_step(move: Move) -> Next:
    """What is to be done about an open move, from what is known now."""
    sending, receiving = move.sending, move.receiving
    return moves.next_step(
        Facts(
            state=move.state,
            source_state=move.source.state,
            target_state=move.target.state,
            target_has_run=move.target.events.filter(to_state=states.RUNNING).exists(),
            sending_state=sending.state if sending else "",
            sending_message=sending.message if sending else "",
            is_packed=bool(sending and sending.result and "parcel" in sending.result),
            receiving_state=receiving.state if receiving else "",
            receiving_message=receiving.message if receiving else "",
        )
    )


@transaction.atomic
def _stop_source(move: Move, now: datetime) -> None:
    source = lock_instance(move.source_id)
    wanted_to_run = source.state in states.CAN_STOP
    if not _change(move, moves.STOPPING, now, message="Stopping the source.", resumes_source=wanted_to_run):
        return
    if wanted_to_run:
        message = f"Stopped because it moves to instance {move.target_id}. Its disk is kept until that runs."
        instance_stop_now(instance=source, actor=None, billed_until=now, now=now, reason="move", message=message)
        machine_clear(machine=source.machine, now=now)


@transaction.atomic
def _pack(move: Move, now: datetime) -> None:
    source = lock_instance(move.source_id)
    if not _change(move, moves.PACKING, now, message="The source's machine packs the disk."):
        return
    secret = {"token": secrets.token_urlsafe(_TOKEN_BYTES)}
    move.sending = _ask(source, jobs.DISK_SEND, {"port": _port(source, now)}, secret, now)
    move.save(update_fields=["sending"])


def _port(source: Instance, now: datetime) -> int:
    """The host port of the source's SSH server is nobody's while the container does not run, and is reached as that is:
    directly and through the relay. Who has none gets one."""
    if source.ssh_port is None:
        (lease,) = ports_lease(task=source.task, wanted=[(SSH_PORT, "tcp")])
        source.ssh_port = lease.host_port
        source.save(update_fields=["ssh_port"])
        relay_lease(task=source.task, now=now)
    return source.ssh_port


@transaction.atomic
def _send(move: Move, now: datetime) -> None:
    target = lock_instance(move.target_id)
    sending = move.sending
    if sending is None or sending.result is None:
        return
    if not _change(move, moves.SENDING, now, message="The target's machine fetches the disk."):
        return
    arguments = {
        "addresses": ssh_addresses(move.source),
        "fingerprint": sending.result["fingerprint"],
        "parcel": sending.result["parcel"],
    }
    move.receiving = _ask(target, jobs.DISK_RECEIVE, arguments, unseal_secrets(sending.sealed), now)
    move.save(update_fields=["receiving"])


def _ask(instance: Instance, kind: str, arguments: dict[str, Any], secret: dict[str, Any], now: datetime) -> Job:
    try:
        return job_ask(task=instance.task, kind=kind, arguments=arguments, secrets=secret, asked_by=None, now=now)
    except HostingError as error:
        raise MarketError(error.code, error.message, status=error.status) from error


@transaction.atomic
def _start_target(move: Move, now: datetime) -> None:
    """It competes for its GPUs from now on as any other."""
    target = lock_instance(move.target_id)
    if not _change(move, moves.STARTING, now, message="The disk has arrived. The target starts as soon as it may."):
        return
    storage_starts(instance=target, at=now)
    instance_start(instance_id=target.pk, actor=target.client, now=now)


def _settle(move: Move, now: datetime) -> None:
    """Bring about what the end of a move means, again if need be: one contract is left."""
    for job_id in (move.receiving_id, move.sending_id):
        if job_id is not None and Job.objects.filter(pk=job_id, state__in=jobs.OPEN).exists():
            job_cancel(job_id=job_id, now=now)
    if move.state == moves.DONE:
        text = f"Moved: instance {move.target_id} runs in its place."
        _destroy(move.source_id, text, now)
    else:
        _destroy(move.target_id, f"Instance {move.source_id} was not moved here.", now)
        _resume(move, now)
    Move.objects.filter(pk=move.pk, settled_at=None).update(settled_at=now)


@transaction.atomic
def _destroy(instance_id: int, message: str, now: datetime) -> None:
    instance = lock_instance(instance_id)
    if instance.state in (states.DESTROYING, states.DESTROYED):
        return
    instance_destroy_now(instance=instance, actor=None, billed_until=now, now=now, reason="move", message=message)


def _resume(move: Move, now: datetime) -> None:
    """Let the source want to run again, if it did. What is in the way of that is told, and no failure of the move."""
    source = Instance.objects.select_related("client").get(pk=move.source_id)
    if not move.resumes_source or source.state not in states.CAN_START:
        return
    try:
        instance_start(instance_id=source.pk, actor=source.client, now=now)
    except MarketError as refusal:
        instance_event(source, "move", now=now, reason=refusal.code, message=f"It stays stopped: {refusal.message}")


@transaction.atomic
def _change(
    move: Move,
    to: str,
    now: datetime,
    *,
    actor: AbstractBaseUser | None = None,
    reason: str = "",
    message: str = "",
    **facts: Any,
) -> bool:
    """Move on, if nobody was faster; both instances' histories say so."""
    if not moves.may_become(move.state, to):
        return False
    values = {"state": to, "state_since": now, "reason": reason, "message": message, **facts}
    if not Move.objects.filter(pk=move.pk, state=move.state).update(**values):
        return False
    for name, value in values.items():
        setattr(move, name, value)
    _tell(move, to, message, now, actor)
    return True


def _tell(move: Move, state: str, message: str, now: datetime, actor: AbstractBaseUser | None) -> None:
    text = f"From instance {move.source_id} to {move.target_id}: {state}. {message}"
    for instance in (move.source, move.target):
        instance_event(instance, "move", now=now, actor=actor, reason=state, message=text)
