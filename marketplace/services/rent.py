"""A client rents an offer."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, transaction

from billing.domain.money import exact_dollars
from billing.features import feature_on
from hosting.domain.containers import Jupyter, Slice, container_spec
from hosting.domain.sandboxes import NONE
from hosting.errors import HostingError
from hosting.models import Machine, PortLease, Task, Volume
from hosting.services.relay_leases import relay_lease
from hosting.services.tasks import ports_lease, task_create, task_set_spec
from hosting.services.volumes import volumes_attach
from marketplace.domain import instance_states as states
from marketplace.domain.features import BID, FEATURES, RENT
from marketplace.domain.offers import storage_micros_per_hour
from marketplace.domain.rent import SSH_PORT, RentRequest, own_environment, problems
from marketplace.errors import MarketError
from marketplace.locks import lock_market, share_machine
from marketplace.models import Instance, Offer
from marketplace.services.bids import refuse_losing_bid, refuse_senseless_bid
from marketplace.services.clearing import machine_clear
from marketplace.services.credit import require_credit
from marketplace.services.keys import authorized_keys, instance_keep_keys
from marketplace.services.metering import meters_open, storage_starts
from marketplace.services.offers import offer_consume
from marketplace.services.registry_logins import login_mark
from marketplace.services.rent_volumes import Planned, end_of, storage_micros_of, volumes_plan, volumes_take
from marketplace.services.transition import instance_event

JUPYTER_TOKEN_BYTES = 32
WAITS_FOR_DISK = "Waiting for its disk, which comes from another machine."
RETRY_WINDOW = timedelta(minutes=5)
MOST_WAITING_PER_CLIENT = 8
MOST_WAITING_PER_MACHINE = 64
"""Of bids that have not run yet."""


def instance_rent(
    *,
    client: AbstractBaseUser,
    offer_id: int,
    request: RentRequest,
    now: datetime,
    moved_from: Instance | None = None,
) -> Instance:
    """Rent the offer, on demand at its price or interruptible at a bid, and start the container as soon as it may run.

    Sending the same request for the same offer again returns the same instance: a retry never rents twice. Bids leave
    the offer on the market, so a bid that is repeated later than ``RETRY_WINDOW`` is another one, unless a key in the
    request says that it is not.

    Where it is ``moved_from`` another, it neither runs nor waits for GPUs: it is started when that one's disk has come.

    Raises:
        MarketError: invalid_args (field named), invalid_price (a bid out of bounds, or below the minimum without
            accepting to wait), no_such_ask (404 unknown, 410 taken or replaced), own_machine (403), no_credit (402),
            spend_limit (403), disk_too_large, no_free_port (409), too_many_waiting (409), no_jupyter (409), and what
            ``volumes_plan`` raises; switched_off (503).
    """
    _refuse_nonsense(request)
    _refuse_switched_off(client, request)
    machine_id = Offer.objects.filter(pk=offer_id).values_list("machine_id", flat=True).first()
    if machine_id is None:
        raise MarketError("no_such_ask", f"There is no offer {offer_id}.", status=404)
    with transaction.atomic():
        machine = lock_market(machine_id, payer_ids=[client.pk])
        offer = Offer.objects.get(pk=offer_id)
        earlier = _earlier_rental(client, offer, request, now)
        if earlier is not None:
            return earlier
        volumes = volumes_plan(client, machine, offer, request, now)
        _refuse_unrentable(client, offer, request, now, more_micros_per_hour=storage_micros_of(volumes))
        _refuse_what_it_can_not(machine, request)
        if request.bid_micros_per_hour is not None and not request.accepts_waiting:
            refuse_losing_bid(offer, request.bid_micros_per_hour, offer.min_bid_micros_per_hour)
        return _create(client, machine, offer, request, now, moved_from=moved_from, volumes=volumes)


def _refuse_nonsense(request: RentRequest) -> None:
    found = problems(request)
    if found:
        field, message = next(iter(found.items()))
        raise MarketError("invalid_args", message, field=field)


def _refuse_switched_off(client: AbstractBaseUser, request: RentRequest) -> None:
    feature = RENT if request.bid_micros_per_hour is None else BID
    if not feature_on(feature, client):
        raise MarketError("switched_off", FEATURES[feature].refusal, status=503)


def _earlier_rental(client: AbstractBaseUser, offer: Offer, request: RentRequest, now: datetime) -> Instance | None:
    """What the same request rented before. One that was destroyed since is no answer to a request for an instance."""
    same = Instance.objects.filter(offer=offer, client_id=client.pk, request_fingerprint=_fingerprint(request))
    if request.bid_micros_per_hour is not None and not request.idempotency_key:
        same = same.filter(created_at__gt=now - RETRY_WINDOW)
    return same.exclude(state__in=(states.DESTROYING, states.DESTROYED)).order_by("-pk").first()


def _fingerprint(request: RentRequest) -> str:
    return request.fingerprint(login_mark(request.registry_login))


def _refuse_unrentable(
    client: AbstractBaseUser, offer: Offer, request: RentRequest, now: datetime, *, more_micros_per_hour: int
) -> None:
    is_bid = request.bid_micros_per_hour is not None
    if offer.retired_at is not None or offer.end_at <= now or not (offer.rentable or is_bid):
        raise MarketError(
            "no_such_ask",
            f"Offer {offer.pk} is not available any more: it was rented or its terms changed. Search again.",
            status=410,
        )
    if offer.host_id == client.pk:
        raise MarketError("own_machine", "You can't rent your own machine.", status=403)
    if request.disk_gb > offer.disk_space_gb:
        raise MarketError(
            "disk_too_large",
            f"This offer has at most {offer.disk_space_gb} GB of disk; you asked for {request.disk_gb} GB.",
            field="disk_gb",
        )
    storage = storage_micros_per_hour(offer.storage_micros_per_gb_month, request.disk_gb)
    if request.bid_micros_per_hour is not None:
        refuse_senseless_bid(request.bid_micros_per_hour, most_micros=offer.gpu_micros_per_hour)
        _refuse_crowd(client, offer)
    together = _gpu_rate(offer, request) + storage + more_micros_per_hour
    require_credit(client=client, micros_per_hour=together, now=now)


def _refuse_what_it_can_not(machine: Machine, request: RentRequest) -> None:
    if request.mode == "jupyter" and not machine.knows_jupyter:
        message = (
            "The agent of this machine is too old for the launch mode Jupyter: rent it with SSH, or another machine."
        )
        raise MarketError("no_jupyter", message, field="mode", status=409)


def _refuse_crowd(client: AbstractBaseUser, offer: Offer) -> None:
    """Bids that wait keep disk and ports of the machine from others, so there is an end to their number."""
    waiting = Instance.objects.filter(machine_id=offer.machine_id, state=states.OUTBID, task__run_generation=0)
    own = waiting.filter(client_id=client.pk).count()
    if own >= MOST_WAITING_PER_CLIENT or waiting.count() >= MOST_WAITING_PER_MACHINE:
        raise MarketError(
            "too_many_waiting",
            f"{own} bids of yours wait for this machine, and {waiting.count()} altogether, which is the most it takes. "
            "Bid elsewhere, or raise one of them.",
            status=409,
        )


def _gpu_rate(offer: Offer, request: RentRequest) -> int:
    """Micro-dollars per hour for all GPUs: the bid, or the host's price."""
    return offer.gpu_micros_per_hour if request.bid_micros_per_hour is None else request.bid_micros_per_hour


def _create(
    client: AbstractBaseUser,
    machine: Machine,
    offer: Offer,
    request: RentRequest,
    now: datetime,
    *,
    moved_from: Instance | None,
    volumes: Sequence[Planned],
) -> Instance:
    instance_id, begins = _next_instance_id(), moved_from is None
    mounts = volumes_take(client, machine, volumes, now)
    jupyter_token = secrets.token_hex(JUPYTER_TOKEN_BYTES) if moved_from is None else moved_from.jupyter_token
    task, leases = _task_for(client, machine, offer, request, instance_id, jupyter_token, mounts, now)
    instance = Instance.objects.create(
        pk=instance_id,
        client_id=client.pk,
        machine=machine,
        offer=offer,
        task=task,
        **_prices(offer, request, now),
        **_wishes(request),
        ssh_port=_ssh_port(leases),
        jupyter_token=jupyter_token,
        state=states.SCHEDULING if begins else states.STOPPED,
        state_since=now,
        wants_running=begins,
        waiting_since=now if begins else None,
        status_message="" if begins else WAITS_FOR_DISK,
        created_at=now,
        end_at=end_of(offer, volumes),
    )
    share_machine(instance, machine)
    instance_event(
        instance,
        "rented",
        now=now,
        actor=client,
        to_state=instance.state,
        reason=instance.rental_type,
        message=_terms(offer, request),
    )
    meters_open(instance=instance, now=now)
    if request.bid_micros_per_hour is None:
        offer_consume(offer=offer, now=now)
    quotes = machine_clear(machine=machine, now=now)
    instance.refresh_from_db(fields=["state", "state_since", "status_message", "waiting_since"])
    if instance.state == states.OUTBID:
        _wait_or_refuse(instance, offer, request, quotes, now)
    # Keys may have changed meanwhile. The rental stands, whatever happens to this.
    transaction.on_commit(partial(instance_keep_keys, instance_id=instance.pk), robust=True)
    return instance


def _prices(offer: Offer, request: RentRequest, now: datetime) -> dict[str, Any]:
    """The terms of the contract, as fields of the instance."""
    return {
        "rental_type": _rental_type(request),
        "bid_micros_per_hour": request.bid_micros_per_hour,
        "bid_placed_at": None if request.bid_micros_per_hour is None else now,
        "num_gpus": offer.num_gpus,
        "gpu_micros_per_hour": _gpu_rate(offer, request),
        "storage_micros_per_hour": storage_micros_per_hour(offer.storage_micros_per_gb_month, request.disk_gb),
        "storage_micros_per_gb_month": offer.storage_micros_per_gb_month,
        "inet_up_micros_per_gb": offer.inet_up_micros_per_gb,
        "inet_down_micros_per_gb": offer.inet_down_micros_per_gb,
    }


def _wishes(request: RentRequest) -> dict[str, Any]:
    """What the client wants to run, as fields of the instance."""
    return {
        "request_fingerprint": _fingerprint(request),
        "disk_gb": request.disk_gb,
        "image": request.image,
        "mode": request.mode,
        "runtype": request.runtype,
        "args": list(request.args),
        "entrypoint": request.entrypoint,
        "env": request.env,
        "onstart": request.onstart,
        "use_jupyter_lab": request.use_jupyter_lab,
        "jupyter_dir": request.jupyter_dir,
        "label": request.label,
    } | _template_note(request)


def _template_note(request: RentRequest) -> dict[str, Any]:
    used = request.template
    if used is None:
        return {}
    return {"template_id": used.template_id, "template_hash": used.hash_id, "template_name": used.name}


def _wait_or_refuse(
    instance: Instance, offer: Offer, request: RentRequest, quotes: Mapping[int, int | None], now: datetime
) -> None:
    """A bid that lost waits if it may: its disk is kept for it, and charged, from now on.

    The offer may have promised more than is true by now, because a rival's bid was on its way: then nothing is rented.
    """
    if not request.accepts_waiting:
        refuse_losing_bid(offer, request.bid_micros_per_hour or 0, quotes.get(offer.num_gpus))
    storage_starts(instance=instance, at=now)


def _rental_type(request: RentRequest) -> Instance.RentalType:
    types = Instance.RentalType
    return types.ON_DEMAND if request.bid_micros_per_hour is None else types.INTERRUPTIBLE


def _terms(offer: Offer, request: RentRequest) -> str:
    kind = "on demand" if request.bid_micros_per_hour is None else "interruptible, with a bid"
    return f"{offer}, {kind} of ${exact_dollars(_gpu_rate(offer, request))} per hour"


def _next_instance_id() -> int:
    """The container's name carries the contract's number, so the number is drawn before the rows exist."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('marketplace_instance', 'id'))")
        return int(cursor.fetchone()[0])


def _ssh_port(leases: list[PortLease]) -> int | None:
    return next((lease.host_port for lease in leases if lease.container_port == SSH_PORT), None)


def _task_for(
    client: AbstractBaseUser,
    machine: Machine,
    offer: Offer,
    request: RentRequest,
    instance_id: int,
    jupyter_token: str,
    mounts: Sequence[tuple[Volume, str]],
    now: datetime,
) -> tuple[Task, list[PortLease]]:
    """The task and its ports. Ports are leased to a task, and the spec names them, so the task comes first."""
    task = task_create(
        machine=machine,
        kind=Task.Kind.INSTANCE,
        label=f"C.{instance_id}",
        authorized_keys=authorized_keys(client),
        now=now,
        registry_login=request.registry_login,
    )
    try:
        leases = ports_lease(task=task, wanted=request.ports_wanted())
    except HostingError as error:
        raise MarketError(error.code, error.message, status=error.status) from error
    relay_lease(task=task, now=now)
    volumes_attach(task=task, mounts=mounts)
    _set_spec(task, machine, offer, request, leases, instance_id, jupyter_token, mounts)
    return task, leases


def _set_spec(
    task: Task,
    machine: Machine,
    offer: Offer,
    request: RentRequest,
    leases: list[PortLease],
    instance_id: int,
    jupyter_token: str,
    mounts: Sequence[tuple[Volume, str]],
) -> None:
    part = Slice(
        gpus=offer.num_gpus,
        gpu_count=machine.gpu_count,
        cpu_cores=machine.cpu_cores,
        ram_mb=machine.ram_mb,
        down_mbps=offer.inet_down_mbps,
        up_mbps=offer.inet_up_mbps,
    )
    ports = [(lease.container_port, lease.host_port, lease.protocol) for lease in leases]
    own_env = own_environment(
        label=task.label,
        instance_id=instance_id,
        num_gpus=offer.num_gpus,
        address=machine.public_address,
        ports=ports,
        jupyter_token=jupyter_token,
    )
    spec = container_spec(
        part=part,
        hostname=task.label,
        image=request.image,
        mode=request.mode,
        args=list(request.args),
        entrypoint=request.entrypoint,
        env=request.env | own_env,
        onstart=request.onstart,
        disk_gb=request.disk_gb,
        ports=ports,
        jupyter=_jupyter(request),
        volumes=[(volume.pk, path) for volume, path in mounts],
        sandbox=offer.sandbox or NONE,
    )
    task_set_spec(task=task, spec=spec)


def _jupyter(request: RentRequest) -> Jupyter | None:
    if request.mode != "jupyter":
        return None
    return Jupyter(lab=request.use_jupyter_lab, directory=request.jupyter_dir or "/")
