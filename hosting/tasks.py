"""Celery tasks: load the clock, call one service."""

from celery import shared_task
from django.utils import timezone

from hosting.services.challenge_settling import challenges_settle, verifications_lapse
from hosting.services.challenge_sweeps import challenges_ask_due
from hosting.services.challenge_talks import challenges_talk_on
from hosting.services.idle_jobs import idle_jobs_restart
from hosting.services.jobs import jobs_sweep
from hosting.services.listing import listings_expire
from hosting.services.measurement_sweeps import measurements_sweep
from hosting.services.offline import machines_sweep_offline
from hosting.services.port_checks import port_checks_sweep
from hosting.services.relay_leases import relay_leases_complete
from hosting.services.reliability import reliability_sweep
from hosting.services.telemetry_sweeps import telemetry_sweep
from hosting.services.yields import yields_refresh


@shared_task
def sweep_offline() -> int:
    """Every few seconds: machines whose agents fell silent."""
    return machines_sweep_offline(now=timezone.now())


@shared_task
def sweep_jobs() -> int:
    """Every few seconds: jobs whose deadline has passed, and what is left of old ones."""
    return jobs_sweep(now=timezone.now())


@shared_task
def compute_yields() -> int:
    """Every minute, to be there soon after a start: what machines brought in lately, where that is half an hour old."""
    return yields_refresh(now=timezone.now())


@shared_task
def expire_listings() -> int:
    """Every minute: listings past their end date."""
    return listings_expire(now=timezone.now())


@shared_task
def restart_idle_jobs() -> int:
    """Every 15 seconds: idle jobs that ended by themselves a while ago."""
    return idle_jobs_restart(now=timezone.now())


@shared_task
def sweep_measurements() -> int:
    """Twice a minute: measurements that hang, that may begin, that are due."""
    return measurements_sweep(now=timezone.now())


@shared_task
def compute_reliability() -> int:
    """Every ten minutes: the reliability of all machines."""
    return reliability_sweep(now=timezone.now())


@shared_task
def complete_relay_leases() -> int:
    """Twice a minute: instances that have no port of the relay yet."""
    return relay_leases_complete(now=timezone.now())


@shared_task
def check_ports() -> int:
    """Every ten seconds: whether the ports of machines can be reached from here."""
    return port_checks_sweep(now=timezone.now())


@shared_task
def verify_machines() -> int:
    """Every half minute: challenges that run are asked on, answers judged, and machines that are due challenged."""
    now = timezone.now()
    verifications_lapse(now=now)
    return challenges_talk_on(now=now) + challenges_settle(now=now) + challenges_ask_due(now=now)


@shared_task
def sweep_telemetry() -> int:
    """Every five minutes: measurements are joined to coarser ones as they grow older, and deleted after a month."""
    return telemetry_sweep(now=timezone.now())
