"""What agents are told of versions: whether theirs is spoken with, and which one to become."""

from django.conf import settings

from agent.protocol import BUNDLE_PATH, PROTOCOL_VERSION, AgentRelease
from hosting.domain.agent_versions import is_offered, verdict
from hosting.errors import HostingError
from hosting.gateways.agent_bundle import current_bundle
from hosting.models import AgentRollout

UNSUPPORTED = "unsupported_protocol"


def require_protocol(told: int) -> None:
    """Raises HostingError(unsupported_protocol, 426) where we would not understand the agent, or it us."""
    found = verdict(told, PROTOCOL_VERSION)
    if found == "spoken":
        return
    spoken = f"This marketplace speaks agent protocol {PROTOCOL_VERSION} and the one before, the agent speaks {told}."
    again = f"Update the agent: run {settings.SITE_URL}/install.sh on the machine again."
    back = f"It is newer than the marketplace: run {settings.SITE_URL}/install.sh on the machine for the one that fits."
    raise HostingError(UNSUPPORTED, f"{spoken} {again if found == 'too_old' else back}", status=426)


def newest_release() -> AgentRelease:
    """The agent that this marketplace hands out."""
    bundle = current_bundle()
    url = f"{settings.AGENT_URL}{BUNDLE_PATH}{bundle.digest}"
    return AgentRelease(version=bundle.version, digest=bundle.digest, size_bytes=bundle.size_bytes, url=url)


def release_for(machine_id: int) -> AgentRelease | None:
    """What the machine's agent should become, by what staff decided; None leaves it as it is."""
    rollout = AgentRollout.objects.filter(pk=AgentRollout.ONLY).first() or AgentRollout()
    release = newest_release()
    told = is_offered(machine_id, release.version, rollout.percent, paused=rollout.paused)
    return release if told else None
