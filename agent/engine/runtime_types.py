"""What the agent needs to know of an engine's runtimes."""

from dataclasses import dataclass

from agent.sandbox_protocol import Sandbox


@dataclass(frozen=True, kw_only=True)
class EngineRuntime:
    """A runtime that is a sandbox, by the engine's name for it, with the flags that it is started with."""

    name: str
    sandbox: Sandbox
    flags: tuple[str, ...] = ()
