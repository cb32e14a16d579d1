"""Whether the engine goes on, as only a new connection tells.

An engine that is told to end takes no new connections, then ends its containers, and all the while answers on those it
has. So an end that is seen over one of them can be the engine's own; where it then answers over a new one, it is not.
Where systemd keeps the engine's socket, the new connection is made and nothing comes, or the next engine answers.
"""

from typing import Any

from docker.api.client import APIClient
from docker.utils import kwargs_from_env

from agent.engine.errors import translated
from agent.engine.timestamps import instant
from agent.engine.types import NEVER

_PATIENCE_SECONDS = 10


def engine_started_at() -> float | None:
    """When the engine started that answers now, in seconds since 1970; None where it does not tell.

    Docker makes its default bridge anew whenever it starts, so its age is the daemon's. Raises ``EngineDownError``.
    """
    with translated():
        client = APIClient(**kwargs_from_env(), timeout=_PATIENCE_SECONDS)
        try:
            bridges = client.networks(names=["bridge"])
        finally:
            client.close()
    return next((instant(str(one["Created"])) for one in bridges if one["Name"] == "bridge" and one["Created"]), None)


class Ends:
    """Which ends of runs the engine has outlived; each is asked about once."""

    def __init__(self) -> None:
        self._outlived: dict[str, str] = {}

    def is_new(self, inspected: dict[str, Any]) -> bool:
        """Whether the inspected container shows the end of a run that was not asked about."""
        finished = _finished(inspected)
        return finished != NEVER and self._outlived.get(inspected["Id"]) != finished

    def outlived(self, inspected: dict[str, Any]) -> None:
        """The engine answered after it."""
        self._outlived[inspected["Id"]] = _finished(inspected)

    def forget(self, container_id: str) -> None:
        """There is no such container any more."""
        self._outlived.pop(container_id, None)


def _finished(inspected: dict[str, Any]) -> str:
    state = inspected["State"]
    if state.get("Running") or (state.get("StartedAt") or NEVER) == NEVER:
        return NEVER
    return str(state.get("FinishedAt") or NEVER)
