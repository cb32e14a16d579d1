"""Carrying out the steps that ``decide`` names, each safe to be cut off at any point and done again."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from agent.engine.image_types import FoundImage
from agent.engine.timestamps import instant
from agent.engine.types import (
    NEVER,
    ContainerFacts,
    ContainerGoneError,
    EngineDownError,
    ImageMissingError,
    NameTakenError,
    PullWatch,
    TaskError,
    VolumeMissingError,
)
from agent.guest.files import carries_files, first_files, keys_digest, keys_file, notice_file
from agent.logs import say
from agent.protocol import ERASED, MOST_RESULT_BYTES, DesiredTask, Phase
from agent.tasks.admission import Admission
from agent.tasks.decide import (
    NO_SHELL,
    Adopt,
    AwaitReady,
    Create,
    Forget,
    MarkLost,
    Move,
    Observation,
    Remove,
    RewriteKeys,
    Start,
    Step,
    Stop,
    no_answer,
    ssh_overdue,
)
from agent.tasks.memory import NO_RUN, TaskMemory, Verdict
from agent.tasks.moving import Mover
from agent.tasks.plan import container_name, container_plan, disk_name, on_saved_disk, ssh_endpoint
from agent.tasks.registries import require_public
from agent.tasks.slot import Slot
from agent.tasks.tools import Tools, require_disk, require_place

_log = logging.getLogger(__name__)

_FIRST_PROBE_SECONDS = 0.005
_SLOWEST_PROBE_SECONDS = 0.25
_PROBE_GROWTH = 1.15
_PROGRESS_SECONDS = 2.0
_DISK_SECONDS = 0.5

Announce = Callable[[Slot, Observation], None]
_OF_A_CONTAINER = ("disk", "volumes")


class Steps:
    """``announce`` is told each phase a task enters on the way; ``progressed`` is called now and then during a pull."""

    def __init__(self, tools: Tools, announce: Announce, progressed: Callable[[], None]) -> None:
        self._tools = tools
        self._engine = tools.engine
        self._admission = Admission(tools.engine, tools.free_images)
        self._checkpoint = tools.checkpoint
        self._mover = Mover(tools)
        self._tell = announce
        self._progressed = progressed

    def carry_out(self, slot: Slot, desired: DesiredTask, step: Step) -> None:
        """Do the step and leave in the slot what is known then. Raises what the engine raises."""
        match step:
            case Adopt():
                self._adopt(slot, desired)
            case Create() | Move() | Start():
                self._bring_up(slot, desired, step)
            case Stop():
                self._stop(slot, desired, step)
            case Remove():
                self._remove(slot, desired)
            case Forget():
                self._forget(slot, desired)
            case MarkLost():
                self._mark_lost(slot, desired)
            case RewriteKeys():
                self._rewrite_keys(slot, desired)
            case AwaitReady():
                self._await_ready(slot, desired, step)

    def _bring_up(self, slot: Slot, desired: DesiredTask, step: Create | Move | Start) -> None:
        match step:
            case Create():
                self._create(slot, desired)
            case Move():
                self._announce(slot, "creating", desired.run_generation)
                self._mover.take_down(slot, desired, step)
            case Start():
                self._start(slot, desired, step)

    def with_attestation(self, slot: Slot, seen: Observation) -> Observation:
        """The same, where a task is removed: with what was looked for and is gone. Raises ``TaskError`` where something
        is left."""
        if seen.phase != "removed":
            return seen
        if not slot.erased:
            self._attest(slot)
        return replace(seen, erased=slot.erased)

    def _attest(self, slot: Slot) -> None:
        """Delete what a task may have left beside its container, and note that nothing is there any more.

        Of a container that this agent knows nothing of, nobody can say which disk and volumes were its own.
        """
        self._mover.delete_disk(slot)
        identity, memory = self._tools.identity, slot.memory or TaskMemory(task_id=slot.task_id)
        left = self._engine.traces(
            container_name(identity, slot.task_id),
            disk_name(identity, slot.task_id),
            memory.removed_id,
            list(memory.volumes),
        )
        if left:
            raise TaskError("engine_error", f"Still there after it was deleted: {', '.join(left)}.")
        slot.erased = tuple(kind for kind in ERASED if memory.removed_id or kind not in _OF_A_CONTAINER)

    def with_result(self, slot: Slot, desired: DesiredTask, seen: Observation) -> Observation:
        """The same, with what the run that ended has to tell where the server wants that.

        It is read from the engine's log, which is there as long as the container: a restart of the agent loses nothing.
        """
        most_bytes = min(desired.spec.result_bytes, MOST_RESULT_BYTES)
        if most_bytes <= 0 or slot.facts is None or seen.phase != "exited":
            return seen
        known = slot.observation
        if known is not None and known.result is not None and replace(known, result=None) == seen:
            return known
        return replace(seen, result=self._engine.last_line(slot.facts.container_id, most_bytes))

    def fail(self, slot: Slot, desired: DesiredTask, error: TaskError) -> None:
        """Remember that the run wanted can't be started."""
        reason = error.reason
        message = error.message
        if reason == "command_not_found" and desired.spec.mode == "ssh" and "architecture" not in message:
            reason, message = "no_shell", NO_SHELL
        verdict = Verdict(run_generation=desired.run_generation, reason=reason, message=message)
        self._save(slot, slot.memory_for(desired).changed(verdict=verdict))
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
        memory = slot.memory_for(desired).changed(
            created=True, intended_generation=desired.run_generation, started_before=NEVER
        )
        self._save(slot, memory)
        say(_log, "container_adopted", task=slot.task_id, run=desired.run_generation)

    def _create(self, slot: Slot, desired: DesiredTask) -> None:
        self._announce(slot, "creating", desired.run_generation)
        require_disk(self._tools)
        self._checkpoint("creating", slot.task_id)
        disk = slot.memory.moving if slot.memory is not None else None
        if disk is None and not self._admission.holds(slot, desired):
            self._pull(slot, desired)
            return
        for mount in desired.spec.volumes:
            self._tools.provide_volume(mount.volume_id)
        plan = container_plan(self._tools.identity, desired)
        if desired.spec.mode == "ssh":
            plan = replace(plan, tools_volume=self._tools.tools_volume())
        try:
            container_id = self._engine.create(on_saved_disk(plan, disk) if disk is not None else plan)
        except (ImageMissingError, VolumeMissingError):
            if disk is None:
                self._pull(slot, desired)
            else:
                self._mark_lost(slot, desired)
            return
        except NameTakenError:
            slot.looked = False
            return
        self._checkpoint("created", slot.task_id)
        gpus = frozenset(desired.gpu_uuids)
        slot.facts = ContainerFacts(container_id=container_id, status="created", gpus=gpus)
        # What is on the disk already is not written anew from the environment.
        slot.carried_keys = _carried_keys(desired) if disk is None else None
        self._mover.settle(slot, container_id)
        say(_log, "container_created", task=slot.task_id, name=plan.name, image=plan.image)

    def _pull(self, slot: Slot, desired: DesiredTask) -> None:
        self._announce(slot, "pulling", desired.run_generation)
        image = desired.spec.image
        if not self._tools.local_registries:
            require_public(image)
        began = told = looked = time.monotonic()

        def on_progress(share: float) -> None:
            nonlocal told, looked
            if time.monotonic() - looked > _DISK_SECONDS:
                # What is small in the registry may be large here.
                require_disk(self._tools)
                looked = time.monotonic()
            news, slot.progress = share != slot.progress, share
            if news and time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                self._progressed()

        say(_log, "pull_begins", task=slot.task_id, image=image)
        watch = PullWatch(on_progress=on_progress, abandoned=lambda: slot.desired is not desired)
        self._checkpoint("pulling", slot.task_id)
        before = self._engine.found_image(image)
        with self._tools.fetching(image):
            self._engine.pull(image, watch, desired.registry_login)
        self._require_place(image, before)
        self._admission.fetched(slot, desired)
        say(_log, "pull_ends", task=slot.task_id, image=image, seconds=time.monotonic() - began)

    def _require_place(self, image: str, before: FoundImage | None) -> None:
        """What was here ``before`` stays: it is the host's own, or somebody else's."""
        found = self._engine.found_image(image)
        if found is None:
            return
        try:
            require_place(self._tools, image, found.size_bytes)
        except TaskError:
            if before is None or before.image_id != found.image_id:
                self._engine.drop_image(image)
            raise

    def _start(self, slot: Slot, desired: DesiredTask, step: Start) -> None:
        container = slot.container()
        self._announce(slot, "starting", desired.run_generation)
        require_disk(self._tools)
        self._mover.settle(slot, container.container_id)
        self._put_files(slot, desired, container, step)
        self._checkpoint("files_put", slot.task_id)
        intent = slot.memory_for(desired).changed(
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
        slot.guest = slot.jupyter = None
        slot.started = False
        with self._tools.disk_guard.kept_free(slot.task_id):
            self._engine.start(container.container_id)
        slot.looked = False
        self._checkpoint("started", slot.task_id)
        if desired.spec.mode == "args":
            self._announce(slot, "running", desired.run_generation)
        say(_log, "container_started", task=slot.task_id, run=desired.run_generation)

    def _put_files(self, slot: Slot, desired: DesiredTask, container: ContainerFacts, step: Start) -> None:
        """Before the first start all files, unless they are on board already; later only keys that changed."""
        carried, slot.carried_keys = slot.carried_keys, None
        if desired.spec.mode != "ssh" or carried == keys_digest(desired.authorized_keys):
            return
        if container.started_at == NEVER and step.previous_generation == NO_RUN:
            archive = first_files(desired.spec.onstart, desired.authorized_keys, desired.spec.jupyter)
        elif slot.memory is None or slot.memory.keys_digest != keys_digest(desired.authorized_keys):
            archive = keys_file(desired.authorized_keys)
        else:
            return
        self._engine.put_files(container.container_id, archive)

    def _stop(self, slot: Slot, desired: DesiredTask, step: Stop) -> None:
        container = slot.container()
        self._announce(slot, "stopping", step.run_generation)
        if step.for_good and desired.state != "running":
            self._save(slot, slot.memory_for(desired).changed(state_asked="stopped"))
        self._checkpoint("stopping", slot.task_id)
        self._put_notice(slot, desired, container)
        slot.looked = False
        self._engine.stop(container.container_id, desired.stop_grace_seconds)
        self._checkpoint("stopped", slot.task_id)
        say(_log, "container_stopped", task=slot.task_id, run=step.run_generation)

    def _put_notice(self, slot: Slot, desired: DesiredTask, container: ContainerFacts) -> None:
        """Tell the guest why, at best: nothing holds up the stop."""
        if desired.state != "stopped" or not desired.notice:
            return
        notice = notice_file(desired.notice, desired.stop_grace_seconds, self._tools.clock())
        try:
            self._engine.put_files(container.container_id, notice)
        except (TaskError, ContainerGoneError, EngineDownError) as error:
            say(_log, "notice_not_put", level=logging.WARNING, task=slot.task_id, why=error)

    def _remove(self, slot: Slot, desired: DesiredTask) -> None:
        container = slot.container()
        self._announce(slot, "stopping", desired.run_generation)
        memory = self._mover.note_volumes(slot.memory_for(desired), container)
        # From here on its absence is no loss.
        gone = memory.changed(created=False, state_asked="removed", removed_id=container.container_id)
        self._save(slot, gone)
        self._checkpoint("removing", slot.task_id)
        self._tools.keep_log(slot.task_id, container.container_id)
        slot.looked = False
        with self._tools.disk_guard.kept_free(slot.task_id):
            self._engine.remove(container.container_id)
        self._checkpoint("removed", slot.task_id)
        say(_log, "container_removed", task=slot.task_id)

    def _forget(self, slot: Slot, desired: DesiredTask) -> None:
        self._announce(slot, "stopping", desired.run_generation)
        try:
            self._attest(slot)
        except TaskError:
            # Nothing of it runs any more, however long it may take until nothing is left.
            self._announce(slot, "stopped", desired.run_generation)
            raise
        self._checkpoint("disk_deleted", slot.task_id)
        self._tools.traffic.delete(slot.task_id)
        self._tools.store.delete(slot.task_id)
        slot.memory = slot.traffic = slot.disk_used_mb = None

    def _mark_lost(self, slot: Slot, desired: DesiredTask) -> None:
        message = "The container and its disk were deleted on the host by something other than the marketplace."
        self.fail(slot, desired, TaskError("container_lost", message))
        self._save(slot, slot.memory_for(desired).changed(created=False, disk=None, moving=None))

    def _rewrite_keys(self, slot: Slot, desired: DesiredTask) -> None:
        self._engine.put_files(slot.container().container_id, keys_file(desired.authorized_keys))
        digest = keys_digest(desired.authorized_keys)
        self._save(slot, slot.memory_for(desired).changed(created=True, keys_digest=digest))
        say(_log, "keys_rewritten", task=slot.task_id, keys=len(desired.authorized_keys))

    def _await_ready(self, slot: Slot, desired: DesiredTask, step: AwaitReady) -> None:
        """Returns when the server answers, something else happened to the task, or the run's time to answer is over.

        Asked before it is judged: it may have come up while the agent was away.
        """
        container = slot.container()
        self._announce(slot, "starting", step.run_generation)
        slot.started = True
        self._progressed()
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
            slot.memory_for(desired).changed(created=True, ready_generation=run, ready_after_seconds=after),
        )
        self._announce(slot, "running", run)
        say(_log, "ssh_ready", task=slot.task_id, run=run, seconds=after)

    def _announce(self, slot: Slot, phase: Phase, run_generation: int) -> None:
        self._tell(slot, Observation(phase=phase, run_generation=run_generation))

    def _save(self, slot: Slot, memory: TaskMemory) -> None:
        self._tools.save(slot, memory)


def _carried_keys(desired: DesiredTask) -> str | None:
    if carries_files(desired.spec.onstart, desired.authorized_keys):
        return keys_digest(desired.authorized_keys)
    return None
