"""Fills the demo: before the agents start (accounts, tokens) and after they registered (prices, rentals)."""

import functools
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.utils import timezone

from hosting.domain.listing import ListingTerms
from hosting.gateways import presence
from hosting.models import InstallToken, Machine
from hosting.selectors import benchmarks_of
from hosting.services.install_tokens import install_token_create
from hosting.services.listing import listing_set
from hosting.services.measuring import benchmark_ask
from hosting.services.reliability import reliability_refresh
from hosting.services.verification import machine_set_verification
from marketplace.demo import accounts, history
from marketplace.demo.machines import FleetMachine, fleet
from marketplace.demo.past import Past, past_record
from marketplace.domain.rent import RentRequest
from marketplace.errors import MarketError
from marketplace.models import Instance, Offer, User
from marketplace.services.rent import instance_rent
from marketplace.services.templates import starter_set
from marketplace.starter_templates import DEMO_KEY, STARTERS, demo_template

LISTED_FOR = timedelta(days=180)
DEMO_TOKEN_NAME = "demo machine"  # noqa: S105  # a name, not a token
RENTALS = 9
DEMO_PAST = Past(number=-1, steadiness=0.995)
MIN_BID_SHARE_PERCENT = 40
"""What hosts of the demo take at least, as a part of their on-demand price."""
POLL_SECONDS = 0.1

T = TypeVar("T")


def prepare(directory: Path, image: str, now: datetime) -> None:
    """Make the accounts, an install token for every machine that has not registered yet, and the templates."""
    directory.mkdir(parents=True, exist_ok=True)
    logins = accounts.logins(directory, now)
    host = User.objects.get(email=logins["host"].email)
    _write_secret(directory / "agent-token", _token(host, DEMO_TOKEN_NAME, now))
    machines = [_fleet_entry(number, machine, now) for number, machine in enumerate(fleet())]
    _write_secret(directory / "fleet.json", json.dumps({"machines": machines}, indent=2))
    starter_set(starters={DEMO_KEY: demo_template(image), **STARTERS}, now=now)


def _fleet_entry(number: int, machine: FleetMachine, now: datetime) -> dict[str, str]:
    host = accounts.simulated("host", number % accounts.SIMULATED_HOSTS, now)
    return {
        "name": machine.name,
        "token": _token(host, machine.name, now),
        "simulate": machine.simulate,
        "geolocation": machine.geolocation,
        "ports": machine.ports,
        "public_address": "127.0.0.1",
    }


def _token(host: User, name: str, now: datetime) -> str:
    """A fresh token for a machine that has none yet; empty for one that registered (its agent has a credential)."""
    if InstallToken.objects.filter(host=host, name=name, machine__isnull=False).exists():
        return ""
    InstallToken.objects.filter(host=host, name=name, machine=None).delete()
    return install_token_create(host=host, name=name, now=now)[1]


def _write_secret(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def finish(
    directory: Path, *, url: str, image: str, wait_seconds: float, say: Callable[[str], None] = lambda _text: None
) -> dict[str, object]:
    """List every machine, rent a few, and wait until the demo machine can be rented; returns what demo.json holds.

    Raises TimeoutError when the machines do not register or come online in time.
    """
    logins = accounts.logins(directory, timezone.now())
    deadline = time.monotonic() + wait_seconds
    machine = _when(lambda: _named(DEMO_TOKEN_NAME), deadline, "the demo machine to register")
    _list_demo_machine(machine, timezone.now())
    history.last_week(machine, timezone.now())
    for row in fleet():
        _list_fleet_machine(_when(functools.partial(_named, row.name), deadline, f"{row.name} to register"), row)
    _compute_reliability(timezone.now())
    say("machines listed")
    _when(lambda: _rentable(machine), deadline, "the demo machine to come online")
    _rent_some(image, timezone.now())
    return {
        "url": url,
        "accounts": {role: vars(login) for role, login in logins.items()},
        "machine_id": machine.pk,
        "image": image,
    }


def benchmark(now: datetime) -> None:
    """Have the demo machine measured, once. Does nothing where this installation has no program for it."""
    machine = _named(DEMO_TOKEN_NAME)
    if machine is not None and settings.DLPERF_IMAGE and not benchmarks_of(machine).exists():
        benchmark_ask(machine_id=machine.pk, host=machine.host, now=now)


def _when(found: Callable[[], T | None], deadline: float, what: str) -> T:
    while True:
        thing = found()
        if thing is not None:
            return thing
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(POLL_SECONDS)


def _named(name: str) -> Machine | None:
    return Machine.objects.filter(install_token__name=name, removed_at=None).order_by("-pk").first()


def _rentable(machine: Machine) -> Offer | None:
    """Any live offer of the machine: on a second run the GPUs may be rented out, which is fine too."""
    # The row may say "online" since the last run; presence begins empty with each run's Valkey.
    if presence.last_seen(machine.pk) is None or not Machine.objects.filter(pk=machine.pk, online=True).exists():
        return None
    return Offer.objects.filter(machine=machine, retired_at=None).first()


def _list_demo_machine(machine: Machine, now: datetime) -> None:
    if hasattr(machine, "listing"):
        return
    past_record(machine, DEMO_PAST, now)
    terms = _terms(now, gpu=300_000, storage=100_000, inet=5_000)
    listing_set(machine_id=machine.pk, host=machine.host, terms=terms, now=now)
    machine_set_verification(machine_id=machine.pk, verification="verified", actor=None, reason="demo machine", now=now)


def _list_fleet_machine(machine: Machine, row: FleetMachine) -> None:
    if hasattr(machine, "listing"):
        return
    now = timezone.now()
    past_record(machine, row.past, now)
    terms = _terms(
        now, gpu=row.gpu_micros_per_hour, storage=row.storage_micros_per_gb_month, inet=row.inet_micros_per_gb
    )
    listing_set(machine_id=machine.pk, host=machine.host, terms=terms, now=now)
    if row.verified:
        machine_set_verification(
            machine_id=machine.pk, verification="verified", actor=None, reason="simulated", now=now
        )


def _compute_reliability(now: datetime) -> None:
    """The pasts of the machines have just been written: count them, as nothing would before the next sweep."""
    machine_ids = list(Machine.objects.filter(removed_at=None).values_list("pk", flat=True))
    reliability_refresh(machine_ids=machine_ids, now=now, from_scratch=True)


def _terms(now: datetime, *, gpu: int, storage: int, inet: int) -> ListingTerms:
    return ListingTerms(
        gpu_micros_per_hour=gpu,
        storage_micros_per_gb_month=storage,
        inet_up_micros_per_gb=inet,
        inet_down_micros_per_gb=inet,
        min_gpus=1,
        min_bid_micros_per_gpu_hour=gpu * MIN_BID_SHARE_PERCENT // 100,
        end_at=now + LISTED_FOR,
    )


def _rent_some(image: str, now: datetime) -> None:
    """Let simulated renters take whole machines and parts of some, so that the market shows what is in use."""
    if Instance.objects.filter(client__is_simulated=True).exists():
        return
    offers = Offer.objects.filter(retired_at=None, rentable=True, host__is_simulated=True).order_by("machine_id")
    every_other = offers.filter(machine_id__in=offers.values_list("machine_id", flat=True).distinct())[::9]
    for number, offer in enumerate(every_other[:RENTALS]):
        request = RentRequest(
            image=image,
            disk_gb=10,
            mode="args",
            runtype="args",
            args=("sleep", "infinity"),
            label="simulated",
            bid_micros_per_hour=_bid(offer) if number % 2 else None,
        )
        renter = accounts.simulated("renter", number % accounts.SIMULATED_RENTERS, now)
        try:
            instance_rent(client=renter, offer_id=offer.pk, request=request, now=now)
        except MarketError:
            continue  # its machine went away in this very moment; the market is lively without it


def _bid(offer: Offer) -> int:
    """A bid somewhat above the minimum."""
    return min((offer.min_bid_micros_per_hour or 0) * 5 // 4, offer.gpu_micros_per_hour)
