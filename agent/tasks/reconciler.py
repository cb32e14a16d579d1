"""Brings the machine's tasks to what the server wants: each task by itself, so a slow one never delays another."""

import logging
import threading
from collections.abc import Callable, Iterable

from agent.engine.types import ContainerGoneError, EngineDownError, TaskError
from agent.guest.files import keys_digest
from agent.logs import say
from agent.pool import Pool
from agent.protocol import DesiredTask, ObservedTask
from agent.tasks.decide import Create, Move, Observation, Rest, Start, Wanted, decide, observe
from agent.tasks.memory import NO_RUN, TaskMemory, Verdict
from agent.tasks.plan import container_name
from agent.tasks.slot import Slot
from agent.tasks.steps import Steps
from agent.tasks.tools import Tools

_log = logging.getLogger(__name__)

_MOST_STEPS = 20
"""More than any way from one state to another takes; beyond it the next tick goes on."""
_CHANGE_SECONDS = 60.0
_PASSING_PHASES = ("pulling", "creating", "starting", "stopping")


class Reconciler:
    """``on_change`` is called, from any thread, when what ``observed`` returns has changed in a way that matters; its
    argument says whether the change can't wait to be told together with the next one."""

    def __init__(
        self,
        *,
        tools: Tools,
        pool: Pool,
        on_change: Callable[[bool], None],
        on_engine_down: Callable[[str], None],
    ) -> None:
        self._tools = tools
        self._steps = Steps(tools, self.announce, lambda: on_change(False))
        self._pool = pool
        self._on_change = on_change
        self._on_engine_down = on_engine_down
        self._lock = threading.Lock()
        self._rested = threading.Condition(self._lock)
        self._slots: dict[int, Slot] = {}
        self._listed = False
        self._retired = False

    def retire(self) -> None:
        """Begin nothing any more: somebody else takes over the tasks."""
        with self._lock:
            self._retired = True
            for slot in self._slots.values():
                slot.desired = None
                slot.signal.set()

    def remember(self, memories: dict[int, TaskMemory]) -> None:
        """Take up the tasks of the agent's earlier life; before anything else."""
        for task_id, memory in memories.items():
            slot = self._slots.setdefault(task_id, Slot(task_id))
            slot.memory = memory
            slot.traffic = self._tools.traffic.load(task_id)

    def observed(self) -> list[ObservedTask]:
        """Everything known about the tasks, for the server."""
        with self._lock:
            seen = [slot.observed() for slot in self._slots.values()]
        return [task for task in seen if task is not None]

    def started(self) -> set[int]:
        """The tasks whose containers the engine has started, and has not been told to start again."""
        return {slot.task_id for slot in self.slots() if _is_started(slot)}

    def apply(self, desired: Iterable[DesiredTask]) -> None:
        """Take the server's complete wishes. Tasks not among them are left as they are."""
        wishes = {task.task_id: task for task in desired}
        with self._lock:
            changed = [task for task in wishes.values() if self._wish(task)]
            for slot in list(self._slots.values()):
                if slot.task_id not in wishes:
                    self._unwish(slot)
        for task in changed:
            self._submit(task.task_id)

    def on_event(self, task_id: int) -> None:
        """The engine says that something happened to the task's container."""
        self._touch(task_id)

    def on_listing(self, running: dict[int, bool]) -> None:
        """All containers of this agent and whether they run, every few seconds: what events missed."""
        with self._lock:
            self._listed = True
            for task_id in running:
                self._slots.setdefault(task_id, Slot(task_id))
            suspects = [slot.task_id for slot in self._slots.values() if _differs(slot, running)]
        for task_id in suspects:
            self._touch(task_id)

    def on_engine_back(self) -> None:
        """Look at everything anew."""
        for task_id in list(self._slots):
            self._touch(task_id)

    def wait_until_at_rest(self, timeout_seconds: float) -> bool:
        """Block until no task is being worked on; False where that takes longer."""
        with self._rested:
            return self._rested.wait_for(lambda: not any(slot.busy for slot in self._slots.values()), timeout_seconds)

    def condemn(self, task_id: int, run: str, verdict: Verdict) -> None:
        """End the run that began at the engine's time ``run``, for a reason the agent has found."""
        with self._lock:
            if slot := self._slots.get(task_id):
                slot.condemned = (run, verdict)
        self._touch(task_id)

    def change_memory(self, task_id: int, change: Callable[[TaskMemory], TaskMemory]) -> bool:
        """Have the task's own worker change what is remembered of it, durably; False where that is not done soon, as
        there is no such task any more."""
        done = threading.Event()
        with self._lock:
            slot = self._slots.get(task_id)
            if slot is None or slot.desired is None or slot.desired.state == "removed":
                return False
            slot.changes.append((change, done))
        self._touch(task_id)
        return done.wait(_CHANGE_SECONDS)

    def tell(self) -> None:
        """Something is to be told at once that no observation says."""
        self._on_change(True)

    def slots(self) -> list[Slot]:
        """For measuring; to be read only."""
        with self._lock:
            return list(self._slots.values())

    def images(self) -> set[str]:
        """Names of those that tasks are made of, or are to be."""
        wishes = [slot.desired for slot in self.slots()]
        return {wish.spec.image for wish in wishes if wish is not None and wish.state != "removed"}

    def _wish(self, task: DesiredTask) -> bool:
        """Note one wish; True where it is news. The lock is held."""
        slot = self._slots.get(task.task_id)
        if slot is None:
            # With the engine's list known, an unknown task has no container: no need to ask.
            slot = self._slots[task.task_id] = Slot(task.task_id, looked=self._listed)
        if slot.desired == task:
            return False
        slot.desired = task
        slot.dirty = True
        slot.stale = slot.stale or slot.memory is not None or slot.facts is not None
        slot.signal.set()
        return True

    def _unwish(self, slot: Slot) -> None:
        slot.desired = None
        if slot.memory is None and slot.facts is None and not slot.busy:
            del self._slots[slot.task_id]

    def _touch(self, task_id: int) -> None:
        with self._lock:
            slot = self._slots.get(task_id)
            if slot is None:
                return
            slot.dirty = slot.stale = True
            slot.signal.set()
        self._submit(task_id)

    def _submit(self, task_id: int) -> None:
        with self._lock:
            slot = self._slots.get(task_id)
            if slot is None or slot.busy or self._retired:
                return
            slot.busy = True
        self._pool.submit(lambda: self._serve(slot))

    def _serve(self, slot: Slot) -> None:
        while self._next_round(slot):
            try:
                self._settle(slot)
            except EngineDownError as error:
                self._without_engine(slot)
                self._on_engine_down(str(error))
            except Exception:
                _log.exception("task_step_failed task=%s", slot.task_id)

    def _next_round(self, slot: Slot) -> bool:
        """Whether there is something the worker has not considered; otherwise its work on the task ends."""
        with self._lock:
            if not slot.dirty or self._retired:
                slot.busy = False
                self._rested.notify_all()
                return False
            if slot.stale:
                slot.looked = False
            slot.dirty = slot.stale = False
            slot.signal.clear()
            return True

    def _settle(self, slot: Slot) -> None:
        """Step by step until nothing is left to do or the wishes changed."""
        for _ in range(_MOST_STEPS):
            desired = slot.desired
            self._look(slot)
            self._take_verdict(slot)
            self._take_changes(slot)
            if desired is None:
                self._only_observe(slot)
                return
            step = decide(wanted(desired), slot.facts, slot.memory)
            try:
                if isinstance(step, Rest):
                    seen = self._steps.with_result(slot, desired, step.observation)
                    self.announce(slot, self._steps.with_attestation(slot, seen))
                    return
                self._steps.carry_out(slot, desired, step)
            except ContainerGoneError:
                slot.looked = False
            except TaskError as error:
                if not self._refused(slot, desired, error, to_start=isinstance(step, Create | Move | Start)):
                    return
            if slot.dirty:
                return

    def _refused(self, slot: Slot, desired: DesiredTask, error: TaskError, *, to_start: bool) -> bool:
        """A start that is refused has failed; anything else is tried again at the next tick. True to go on now."""
        slot.looked = slot.looked and not to_start
        if to_start:
            self._steps.fail(slot, desired, error)
            return True
        say(_log, "step_refused", level=logging.WARNING, task=slot.task_id, message=error.message)
        return False

    def _look(self, slot: Slot) -> None:
        if not slot.looked:
            slot.facts = self._tools.engine.find(container_name(self._tools.identity, slot.task_id))
            slot.looked = True

    def _take_verdict(self, slot: Slot) -> None:
        with self._lock:
            condemned, slot.condemned = slot.condemned, None
        if condemned is not None and slot.facts is not None and slot.facts.started_at == condemned[0]:
            self._steps.condemn(slot, condemned[1])

    def _take_changes(self, slot: Slot) -> None:
        with self._lock:
            changes, slot.changes = slot.changes, []
        for change, done in changes:
            known = slot.memory or TaskMemory(task_id=slot.task_id, state_asked="stopped")
            self._tools.save(slot, change(known))
            done.set()

    def _only_observe(self, slot: Slot) -> None:
        """Without a wish of the server's nothing is done, but told truly."""
        remembered = wanted_before(slot.memory)
        if remembered is None:
            return
        if slot.facts is not None:
            self.announce(slot, observe(remembered, slot.facts, slot.memory))
            return
        step = decide(remembered, None, slot.memory)
        if isinstance(step, Rest):
            self.announce(slot, step.observation)

    def _without_engine(self, slot: Slot) -> None:
        """What was under way has failed for now, but not a run that the engine was asked for already: it may go on.

        That, like all that is known to run or to have ended, stays as it was last seen until the engine is back.
        """
        slot.looked = False
        seen, desired = slot.observation, slot.desired
        if desired is None or desired.state != "running":
            return
        if slot.memory is not None and slot.memory.intended_generation >= _run_under_way(seen, desired):
            return
        if seen is None or seen.phase in ("pulling", "creating", "starting"):
            message = "The host's container engine is not running. Start the instance again later."
            self.announce(
                slot,
                Observation(
                    phase="failed", run_generation=desired.run_generation, reason="engine_down", message=message
                ),
            )

    def announce(self, slot: Slot, observation: Observation) -> None:
        """Make an observation the task's state and have it told where it is news."""
        with self._lock:
            news = slot.take(observation)
        if news:
            say(_log, "phase", task=slot.task_id, phase=observation.phase, run=observation.run_generation)
            self._on_change(observation.phase not in ("creating", "starting", "stopping"))


def _is_started(slot: Slot) -> bool:
    if slot.observation is None or slot.observation.phase in ("pulling", "creating"):
        return False
    return slot.started or slot.observation.phase != "starting"


def wanted(desired: DesiredTask) -> Wanted:
    """What decides of a desired task."""
    return Wanted(
        state=desired.state,
        run_generation=desired.run_generation,
        ssh=desired.spec.mode == "ssh",
        keys_digest=keys_digest(desired.authorized_keys),
        gpus=frozenset(desired.gpu_uuids),
    )


def wanted_before(memory: TaskMemory | None) -> Wanted | None:
    """What was last acted on for a task the server has not spoken of yet; None where nothing was."""
    if memory is None:
        return None
    generation = memory.intended_generation
    if generation == NO_RUN and memory.verdict is not None:
        generation = memory.verdict.run_generation
    return Wanted(
        state=memory.state_asked, run_generation=max(0, generation), ssh=memory.ssh, keys_digest=memory.keys_digest
    )


def _run_under_way(seen: Observation | None, desired: DesiredTask) -> int:
    """The run that was last worked on: an older one than is wanted now, where that wish is news."""
    return desired.run_generation if seen is None else min(seen.run_generation, desired.run_generation)


def _differs(slot: Slot, running: dict[int, bool]) -> bool:
    """Whether the engine's list contradicts what is believed, or the task is on its way somewhere."""
    believed = slot.facts is not None and slot.facts.status == "running"
    exists = slot.facts is not None
    passing = slot.observation is None or slot.observation.phase in _PASSING_PHASES or _is_going(slot)
    return passing or exists != (slot.task_id in running) or believed != running.get(slot.task_id, False)


def _is_going(slot: Slot) -> bool:
    """Whether something is left of a task that is to be removed."""
    return slot.desired is not None and slot.desired.state == "removed" and not slot.erased
