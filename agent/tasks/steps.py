"""Carrying out the steps that ``decide`` names, each safe to be cut off at any point and done again."""

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.engine.timestamps import instant
from agent.engine.types import (
    NEVER,
    ContainerFacts,
    Engine,
    ImageMissingError,
    NameTakenError,
    PullWatch,
    TaskError,
)
from agent.guest.files import carries_files, first_files, keys_digest, keys_file
from agent.guest.probe import ssh_answers
from agent.logs import say
from agent.protocol import DesiredTask, Phase
from agent.tasks.decide import (
    Adopt,
    AwaitReady,
    Create,
    Forget,
    MarkLost,
    Observation,
    Remove,
    RewriteKeys,
    Start,
    Step,
    Stop,
    no_answer,
    ssh_overdue,
)
from agent.tasks.memory import MemoryStore, TaskMemory, TrafficStore, Verdict
from agent.tasks.plan import Identity, container_plan, ssh_endpoint
from agent.tasks.slot import Slot

_log = logging.getLogger(__name__)

_FIRST_PROBE_SECONDS = 0.005
_SLOWEST_PROBE_SECONDS = 0.25
_PROBE_GROWTH = 1.15
_PROGRESS_SECONDS = 2.0

Announce = Callable[[Slot, Observation], None]
Checkpoint = Callable[[str, int], None]
"""Told the name of each point passed and the task's id; tests end the process there."""


def no_checkpoint(_name: str, _task_id: int) -> None:
    """Passes."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the steps are done with; one for all tasks of an agent."""

    engine: Engine
    store: MemoryStore
    traffic: TrafficStore
    identity: Identity
    disk_floor_gb: float
    data_root: Callable[[], str | None] = field(default=lambda: None)
    checkpoint: Checkpoint = no_checkpoint
    probe: Callable[[str, int], bool] = ssh_answers
    clock: Callable[[], float] = time.time
    """Seconds since the epoch, to compare with the engine's timestamps."""


class Steps:
    """``announce`` is told each phase a task enters on the way; ``progressed`` is called now and then during a pull."""

    def __init__(self, tools: Tools, announce: Announce, progressed: Callable[[], None]) -> None:
        self._tools = tools
        self._engine = tools.engine
        self._checkpoint = tools.checkpoint
        self._tell = announce
        self._progressed = progressed

    def carry_out(self, slot: Slot, desired: DesiredTask, step: Step) -> None:
        """Do the step and leave in the slot what is known then. Raises what the engine raises."""
        match step:
            case Adopt():
                self._adopt(slot, desired)
            case Create():
                self._create(slot, desired)
            case Start():
                self._start(slot, desired, step)
            case Stop():
                self._stop(slot, desired, step)
            case Remove():
                self._remove(slot, desired)
            case Forget():
                self._forget(slot)
            case MarkLost():
                self._mark_lost(slot, desired)
            case RewriteKeys():
                self._rewrite_keys(slot, desired)
            case AwaitReady():
                self._await_ready(slot, desired, step)

    def fail(self, slot: Slot, desired: DesiredTask, error: TaskError) -> None:
        """Remember that the run wanted can't be started."""
        reason = error.reason
        message = error.message
        if reason == "command_not_found" and desired.spec.mode == "ssh" and "architecture" not in message:
            reason, message = "no_shell", "The image has no /bin/sh, which an SSH instance needs."
        verdict = Verdict(run_generation=desired.run_generation, reason=reason, message=message)
        self._save(slot, _memory(slot, desired).changed(verdict=verdict))
        say(
            _log,
            "task_failed",
            level=logging.WARNING,
            task=slot.task_id,
            run=desired.run_generation,
            reason=reason,
            message=message,
        )

    def condemn(self, slot: Slot, verdict: Verdict) -> None:
        """Remember that the agent ends a run that goes on."""
        memory = slot.memory or TaskMemory(task_id=slot.task_id, created=True)
        self._save(slot, memory.changed(verdict=verdict))

    def _adopt(self, slot: Slot, desired: DesiredTask) -> None:
        memory = _memory(slot, desired).changed(
            created=True, intended_generation=desired.run_generation, started_before=NEVER
        )
        self._save(slot, memory)
        say(_log, "container_adopted", task=slot.task_id, run=desired.run_generation)

    def _create(self, slot: Slot, desired: DesiredTask) -> None:
        self._announce(slot, "creating", desired.run_generation)
        self._require_disk()
        self._checkpoint("creating", slot.task_id)
        plan = container_plan(self._tools.identity, desired)
        try:
            container_id = self._engine.create(plan)
        except ImageMissingError:
            self._pull(slot, desired)
            return
        except NameTakenError:
            slot.looked = False
            return
        self._checkpoint("created", slot.task_id)
        slot.facts = ContainerFacts(container_id=container_id, status="created")
        slot.carried_keys = _carried_keys(desired)
        say(_log, "container_created", task=slot.task_id, name=plan.name, image=plan.image)

    def _pull(self, slot: Slot, desired: DesiredTask) -> None:
        self._announce(slot, "pulling", desired.run_generation)
        image = desired.spec.image
        began = told = time.monotonic()

        def on_progress(share: float) -> None:
            nonlocal told
            news, slot.progress = share != slot.progress, share
            if news and time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                self._progressed()

        say(_log, "pull_begins", task=slot.task_id, image=image)
        self._engine.pull(image, PullWatch(on_progress=on_progress, abandoned=lambda: slot.desired is not desired))
        say(_log, "pull_ends", task=slot.task_id, image=image, seconds=time.monotonic() - began)

    def _start(self, slot: Slot, desired: DesiredTask, step: Start) -> None:
        container = _present(slot)
        self._announce(slot, "starting", desired.run_generation)
        self._require_disk()
        self._put_files(slot, desired, container)
        self._checkpoint("files_put", slot.task_id)
        intent = _memory(slot, desired).changed(
            created=True,
            state_asked="running",
            intended_generation=desired.run_generation,
            started_before=container.started_at,
            previous_generation=step.previous_generation,
            keys_digest=keys_digest(desired.authorized_keys),
            verdict=None,
        )
        self._save(slot, intent)
        self._checkpoint("intent_saved", slot.task_id)
        self._engine.start(container.container_id)
        slot.looked = False
        self._checkpoint("started", slot.task_id)
        if desired.spec.mode == "args":
            self._announce(slot, "running", desired.run_generation)
        say(_log, "container_started", task=slot.task_id, run=desired.run_generation)

    def _put_files(self, slot: Slot, desired: DesiredTask, container: ContainerFacts) -> None:
        """Before the first start all files, unless they are on board already; later only keys that changed."""
        carried, slot.carried_keys = slot.carried_keys, None
        if desired.spec.mode != "ssh" or carried == keys_digest(desired.authorized_keys):
            return
        if container.started_at == NEVER:
            archive = first_files(desired.spec.onstart, desired.authorized_keys)
        elif slot.memory is None or slot.memory.keys_digest != keys_digest(desired.authorized_keys):
            archive = keys_file(desired.authorized_keys)
        else:
            return
        self._engine.put_files(container.container_id, archive)

    def _stop(self, slot: Slot, desired: DesiredTask, step: Stop) -> None:
        container = _present(slot)
        self._announce(slot, "stopping", step.run_generation)
        if step.for_good and desired.state != "running":
            self._save(slot, _memory(slot, desired).changed(state_asked="stopped"))
        self._checkpoint("stopping", slot.task_id)
        slot.looked = False
        self._engine.stop(container.container_id, desired.stop_grace_seconds)
        self._checkpoint("stopped", slot.task_id)
        say(_log, "container_stopped", task=slot.task_id, run=step.run_generation)

    def _remove(self, slot: Slot, desired: DesiredTask) -> None:
        container = _present(slot)
        self._announce(slot, "stopping", desired.run_generation)
        if slot.memory is not None:
            # From here on its absence is no loss.
            self._save(slot, slot.memory.changed(created=False, state_asked="removed"))
        self._checkpoint("removing", slot.task_id)
        slot.looked = False
        self._engine.remove(container.container_id)
        self._checkpoint("removed", slot.task_id)
        say(_log, "container_removed", task=slot.task_id)

    def _forget(self, slot: Slot) -> None:
        self._tools.traffic.delete(slot.task_id)
        self._tools.store.delete(slot.task_id)
        slot.memory = slot.traffic = slot.disk_used_mb = None

    def _mark_lost(self, slot: Slot, desired: DesiredTask) -> None:
        message = "The container and its disk were deleted on the host by something other than the marketplace."
        self.fail(slot, desired, TaskError("container_lost", message))
        self._save(slot, _memory(slot, desired).changed(created=False))

    def _rewrite_keys(self, slot: Slot, desired: DesiredTask) -> None:
        self._engine.put_files(_present(slot).container_id, keys_file(desired.authorized_keys))
        digest = keys_digest(desired.authorized_keys)
        self._save(slot, _memory(slot, desired).changed(created=True, keys_digest=digest))
        say(_log, "keys_rewritten", task=slot.task_id, keys=len(desired.authorized_keys))

    def _await_ready(self, slot: Slot, desired: DesiredTask, step: AwaitReady) -> None:
        """Returns when the server answers, something else happened to the task, or the run's time to answer is over.

        Asked before it is judged: it may have come up while the agent was away.
        """
        container = _present(slot)
        self._announce(slot, "starting", step.run_generation)
        address, port = ssh_endpoint(desired, container.address)
        pause = _FIRST_PROBE_SECONDS
        while not self._tools.probe(address, port):
            if ssh_overdue(container, self._tools.clock()):
                self._condemn_silent(slot, step.run_generation)
                return
            if slot.signal.wait(pause):
                return
            pause = min(pause * _PROBE_GROWTH, _SLOWEST_PROBE_SECONDS)
        self._became_ready(slot, desired, container, step.run_generation)

    def _condemn_silent(self, slot: Slot, run: int) -> None:
        verdict = no_answer(run)
        self.condemn(slot, verdict)
        say(_log, "ssh_overdue", level=logging.WARNING, task=slot.task_id, run=run, message=verdict.message)

    def _became_ready(self, slot: Slot, desired: DesiredTask, container: ContainerFacts, run: int) -> None:
        after = max(0.0, self._tools.clock() - instant(container.started_at))
        # Saved first: what was told to run is not to be doubted again after a restart of the agent.
        self._save(
            slot,
            _memory(slot, desired).changed(created=True, ready_generation=run, ready_after_seconds=after),
        )
        self._announce(slot, "running", run)
        say(_log, "ssh_ready", task=slot.task_id, run=run, seconds=after)

    def _announce(self, slot: Slot, phase: Phase, run_generation: int) -> None:
        self._tell(slot, Observation(phase=phase, run_generation=run_generation))

    def _save(self, slot: Slot, memory: TaskMemory) -> None:
        self._tools.store.save(memory)
        slot.memory = memory

    def _require_disk(self) -> None:
        """Refuse while the host's disk is nearly full: a start would then fail half way, or hurt the others."""
        root = self._tools.data_root()
        if root is None:
            return
        try:
            free_bytes = shutil.disk_usage(root).free
        except OSError:
            return
        if free_bytes < self._tools.disk_floor_gb * (1 << 30):
            raise TaskError("disk_full", "The host's disk is almost full, so nothing can be started on it now.")


def _present(slot: Slot) -> ContainerFacts:
    if slot.facts is None:
        raise AssertionError(f"task {slot.task_id}: this step is only decided for a container")
    return slot.facts


def _carried_keys(desired: DesiredTask) -> str | None:
    if carries_files(desired.spec.onstart, desired.authorized_keys):
        return keys_digest(desired.authorized_keys)
    return None


def _memory(slot: Slot, desired: DesiredTask) -> TaskMemory:
    known = slot.memory or TaskMemory(task_id=slot.task_id)
    return known.changed(ssh=desired.spec.mode == "ssh")
