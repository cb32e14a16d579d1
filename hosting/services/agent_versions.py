"""What becomes of agents' versions: learned from reports, spread as staff decide."""

from datetime import datetime

from django.db import transaction

from agent.protocol import SyncRequest
from hosting.domain.texts import clean
from hosting.models import AgentRollout, Machine
from hosting.services.events import machine_event


def agent_version_learn(*, machine: Machine, request: SyncRequest, now: datetime) -> None:
    """Note which version the locked machine's agent is, and which one was given up there; each change is an event."""
    version = clean(request.agent_version, 40)
    failure = request.update_failure
    failed, why = (clean(failure.version, 40), clean(failure.why, 300)) if failure else ("", "")
    if machine.agent_version and machine.agent_version != version:
        machine_event(machine, "agent_version", now=now, message=f"{machine.agent_version} became {version}")
    if failed and machine.agent_failed_version != failed:
        machine_event(machine, "agent_update_failed", now=now, message=f"{failed} was given up: {why}")
    facts = {"agent_version": version, "agent_failed_version": failed, "agent_failed_why": why}
    changed = [name for name, value in facts.items() if getattr(machine, name) != value]
    for name in changed:
        setattr(machine, name, facts[name])
    if changed:
        machine.save(update_fields=changed)


@transaction.atomic
def agent_rollout_set(*, percent: int, paused: bool) -> AgentRollout:
    """How far the present version of the agent spreads by itself. Held requests hear of it with their next one."""
    rollout, _ = AgentRollout.objects.update_or_create(
        pk=AgentRollout.ONLY, defaults={"percent": percent, "paused": paused}
    )
    return rollout
