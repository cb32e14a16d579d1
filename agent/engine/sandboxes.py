"""Sandboxes that an engine can run containers in, from what it tells of its runtimes.

A runtime counts only where what the agent promises clients holds in it. gVisor by its own defaults keeps what a
container writes in a place of its own that is gone with the run, does not see files that come in from outside, and
shows no GPU; each of that ends with a flag. Kata runs a kernel of its own that gets a GPU only where the host's driver
has let go of it, and that driver is how the agent knows the GPUs at all.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from agent.engine.runtime_types import EngineRuntime
from agent.engine.types import ContainerPlan, EngineInfo, TaskError
from agent.sandbox_protocol import SANDBOXES, Sandbox

GVISOR: Sandbox = "gvisor"
KATA: Sandbox = "kata"
NAMES = {GVISOR: "gVisor", KATA: "Kata Containers"}

_PROGRAMS: dict[str, Sandbox] = {
    "runsc": GVISOR,
    "containerd-shim-runsc-v1": GVISOR,
    "kata-runtime": KATA,
    "containerd-shim-kata-v2": KATA,
}
_TYPES: dict[str, Sandbox] = {"io.containerd.runsc": GVISOR, "io.containerd.kata": KATA}
_KEPT_DISK, _SEEN_FILES, _GPUS = ("overlay2", "none"), ("file-access", "shared"), ("nvproxy", "true")


def runtimes_of(told: Mapping[str, Any] | None) -> tuple[EngineRuntime, ...]:
    """The runtimes that are sandboxes, by name, of the engine's ``Runtimes``."""
    found = []
    for name, facts in sorted((told or {}).items()):
        sandbox = _kind(name, facts or {})
        if sandbox is not None:
            flags = tuple(str(flag) for flag in (facts or {}).get("runtimeArgs") or [])
            found.append(EngineRuntime(name=name, sandbox=sandbox, flags=flags))
    return tuple(found)


def obstacles(runtimes: Sequence[EngineRuntime], *, real_gpus: bool) -> dict[str, str]:
    """The sandboxes there are, each with why containers can't run in it, with GPUs where those are real; empty where
    they can."""
    there = {runtime.sandbox for runtime in runtimes}
    return {sandbox: _best(runtimes, sandbox, real_gpus)[1] for sandbox in SANDBOXES if sandbox in there}


def runtime_for(plan: ContainerPlan, info: EngineInfo) -> str | None:
    """What the engine calls the runtime of this container; None for its usual one.

    Raises ``TaskError`` (engine_error) where the sandbox is not to be had: never does a container run without it.
    """
    if plan.sandbox == "none":
        return None
    name = NAMES.get(plan.sandbox, plan.sandbox)
    if all(runtime.sandbox != plan.sandbox for runtime in info.runtimes):
        raise TaskError(
            "engine_error", f"The machine's container engine has no {name}, which this instance is to run in."
        )
    runtime, obstacle = _best(info.runtimes, plan.sandbox, bool(plan.gpu_uuids))
    if obstacle:
        raise TaskError("engine_error", f"This instance is to run in {name}, which does not work here: {obstacle}")
    return runtime


def _best(runtimes: Sequence[EngineRuntime], sandbox: str, real_gpus: bool) -> tuple[str, str]:
    """Name and obstacle of the first runtime without an obstacle, else of the first one."""
    judged = [(one.name, _obstacle(one, real_gpus)) for one in runtimes if one.sandbox == sandbox]
    return next((one for one in judged if not one[1]), judged[0])


def _obstacle(runtime: EngineRuntime, real_gpus: bool) -> str:
    if runtime.sandbox == KATA:
        return "It can't be given GPUs that the host's NVIDIA driver uses." if real_gpus else ""
    wanted = [_KEPT_DISK, _SEEN_FILES, *([_GPUS] if real_gpus else [])]
    given = _flags(runtime.flags)
    missing = [f"--{name}={value}" for name, value in wanted if given.get(name) != value]
    if not missing:
        return ""
    return f"Its runtime {runtime.name} needs {' '.join(missing)} in the runtimeArgs of the engine's daemon.json."


def _flags(flags: Sequence[str]) -> dict[str, str]:
    """What each flag says; one that says nothing says true. The last of a name counts."""
    split = [flag.lstrip("-").partition("=") for flag in flags]
    return {name: value if equals else "true" for name, equals, value in split}


def _kind(name: str, facts: Mapping[str, Any]) -> Sandbox | None:
    """By the program, else by the type, else, where the engine tells neither, by the name."""
    program = PurePosixPath(str(facts.get("path") or "")).name
    kind = str(facts.get("runtimeType") or "")
    if program in _PROGRAMS:
        return _PROGRAMS[program]
    if PurePosixPath(kind).name in _PROGRAMS:
        return _PROGRAMS[PurePosixPath(kind).name]
    by_type = next((sandbox for prefix, sandbox in _TYPES.items() if kind.startswith(prefix)), None)
    if by_type is not None or program or kind:
        return by_type
    return next((sandbox for prefix, sandbox in _TYPES.items() if name.startswith(prefix)), None)
