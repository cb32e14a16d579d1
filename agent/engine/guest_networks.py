"""A network for each guest alone: made with its container, gone with it.

Guests on one bridge could send each other frames, and take each other's addresses. Each has a bridge of its own, so
that there is nobody to send to but the host, whose firewall (agent/firewall.py) knows guests by how their bridges are
called. Making one takes the engine some 80 ms, so it happens while the container is made.
"""

import hashlib
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import docker.errors
from docker.api.client import APIClient
from docker.types import IPAMConfig, IPAMPool

from agent.engine.errors import explanation
from agent.engine.labels import BRIDGE_PREFIX, GUEST_NETWORK_LABEL, LINE_LABEL, OWNER_LABEL, SANDBOX_LABEL, TASK_LABEL
from agent.engine.lines import NO_LIMIT, Line, limit_received, limit_sent, line_of
from agent.engine.nameservers import point_at_nameservers
from agent.engine.subnets import candidates, free_range, host_networks
from agent.engine.timestamps import instant
from agent.engine.types import (
    ContainerPlan,
)
from agent.logs import say

_log = logging.getLogger(__name__)

_ROUTES = Path("/proc/net/route")
_BRIDGE_CHARS = 15
"""The longest name of an interface."""
_YOUNG_SECONDS = 600.0
"""A network without a container may belong to one that another agent is making."""
_AT_ONCE = 8
_OVERLAPS = "overlaps"


def bridge_of(network: str) -> str:
    """The name of a guest network's bridge."""
    digest = hashlib.sha256(network.encode()).hexdigest()
    return (BRIDGE_PREFIX + digest)[:_BRIDGE_CHARS]


def line_label(plan: ContainerPlan) -> dict[str, str]:
    """Notes on the container how fast it may send and receive, for whoever starts it."""
    return {LINE_LABEL: plan.line.spelled()}


class GuestNetworks:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="networks")
        self._of: dict[str, str] = {}
        self._sandboxed: set[str] = set()

    def begin(self, client: APIClient, plan: ContainerPlan) -> "Future[None] | None":
        """Start to make the network of a container that is to have one of its own."""
        if plan.network != plan.name:
            return None
        return self._workers.submit(self.ensure, client, plan.network, plan.labels)

    def ensure(self, client: APIClient, name: str, labels: Mapping[str, str]) -> None:
        """Make the network unless it is there; it bears its container's ``labels``. Raises docker's errors."""
        within = free_range(host_networks(_ROUTES.read_text(), BRIDGE_PREFIX)) if _ROUTES.exists() else free_range([])
        last: docker.errors.APIError | None = None
        for subnet in candidates(name, within):
            try:
                self._make(client, name, str(subnet), labels)
            except docker.errors.APIError as error:
                if "already exists" in explanation(error):
                    return
                if _OVERLAPS not in explanation(error).lower():
                    raise
                last = error
            else:
                return
        if last is not None:
            raise last

    def before_start(self, client: APIClient, container_id: str) -> Line:
        """See that the container's network is there, and limit what it receives; returns its line."""
        inspected = cast("dict[str, Any]", client.inspect_container(container_id))
        name, line = _own_network(inspected), _line(inspected)
        if name is None:
            return NO_LIMIT
        self._of[container_id] = name
        if (inspected["Config"].get("Labels") or {}).get(SANDBOX_LABEL):
            self._sandboxed.add(container_id)
        if not Path("/sys/class/net", bridge_of(name)).exists():
            self.ensure(client, name, inspected["Config"].get("Labels") or {})
        self._tell(container_id, limit_received(bridge_of(name), line))
        return line

    def after_start(self, client: APIClient, container_id: str, line: Line) -> None:
        """Limit what it sends, and name servers to it that it reaches from a sandbox: its interface and its files have
        only just come to be."""
        if not line.up_kbit and container_id not in self._sandboxed:
            return
        inspected = cast("dict[str, Any]", client.inspect_container(container_id))
        pid = int(inspected["State"].get("Pid") or 0)
        if pid and line.up_kbit:
            self._tell(container_id, limit_sent(pid, line))
        if container_id in self._sandboxed and inspected.get("ResolvConfPath"):
            problem = point_at_nameservers(Path(str(inspected["ResolvConfPath"])))
            if problem:
                say(_log, "no_nameservers", level=logging.WARNING, container=container_id[:12], why=problem)

    def removing(self, client: APIClient, container_id: str) -> None:
        """Before the engine removes the container: learn which network goes with it. Raises docker's errors."""
        name = _own_network(cast("dict[str, Any]", client.inspect_container(container_id)))
        if name is not None:
            self._of[container_id] = name

    def removed(self, client: APIClient, container_id: str) -> None:
        """When the engine has."""
        self._sandboxed.discard(container_id)
        name = self._of.pop(container_id, None)
        if name is not None:
            self.drop(client, name)

    def drop(self, client: APIClient, name: str) -> None:
        """Remove a network; one that is gone is fine, one that is in use stays and is swept later."""
        try:
            client.remove_network(name)
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as error:
            say(_log, "network_kept", level=logging.WARNING, network=name, why=explanation(error))

    def sweep(self, client: APIClient) -> None:
        """Remove networks whose containers are gone, as a killed agent leaves them."""
        used = {str((row.get("HostConfig") or {}).get("NetworkMode")) for row in client.containers(all=True)}
        for network in client.networks(filters={"label": GUEST_NETWORK_LABEL}):
            is_young = time.time() - instant(str(network["Created"])) < _YOUNG_SECONDS
            if network["Name"] not in used and not is_young:
                self.drop(client, network["Name"])

    def _make(self, client: APIClient, name: str, subnet: str, labels: Mapping[str, str]) -> None:
        client.create_network(
            name,
            driver="bridge",
            check_duplicate=True,
            ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]),
            options={
                "com.docker.network.bridge.enable_icc": "false",
                "com.docker.network.bridge.name": bridge_of(name),
            },
            labels=_of_task(labels) | {GUEST_NETWORK_LABEL: name},
        )

    def _tell(self, container_id: str, problem: str | None) -> None:
        if problem:
            say(_log, "line_not_limited", level=logging.WARNING, container=container_id[:12], why=problem)


def _of_task(labels: Mapping[str, str]) -> dict[str, str]:
    """Whose it is: what a container has from its image says nothing about its network."""
    return {key: labels[key] for key in (OWNER_LABEL, TASK_LABEL) if key in labels}


def _own_network(inspected: Mapping[str, Any]) -> str | None:
    """The name of the container's own network; None where it shares one, as older agents made them, or has none."""
    mode = str((inspected.get("HostConfig") or {}).get("NetworkMode") or "")
    return mode if mode and mode == str(inspected.get("Name", "")).lstrip("/") else None


def _line(inspected: Mapping[str, Any]) -> Line:
    return line_of(str((inspected["Config"].get("Labels") or {}).get(LINE_LABEL, "")))
