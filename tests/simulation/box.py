"""A host's machine as it is: containers, the GPUs they really use, and workers that bring them to what is wished."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agent.protocol import DesiredTask, FailureReason, ObservedTask, Phase
from tests.simulation.failure import must

NEVER_RAN = -1
BYTES_A_REPORT = 50_000_000


@dataclass
class Container:
    """``gpus`` are those it was made with, ``run`` the generation of its last run; ``since`` it runs, or does not."""

    gpus: frozenset[str]
    since: datetime
    run: int = NEVER_RAN
    running: bool = False
    ready: bool = False
    ended_with_engine: bool = False


@dataclass(frozen=True)
class Seen:
    """What there is to tell about a task."""

    phase: Phase
    run: int
    since: datetime | None = None
    reason: FailureReason | None = None


@dataclass(frozen=True)
class Work:
    """Something that takes time: create, start, ready, stop, move or remove."""

    kind: str
    tells: Seen
    seconds: float
    gpus: frozenset[str] = frozenset()
    until: datetime | None = None


@dataclass
class Worker:
    """One task. ``made``, ``moving`` (last run of the disk that is being moved) and ``verdict`` outlive a crash."""

    task_id: int
    wish: DesiredTask | None = None
    ssh: bool = True
    container: Container | None = None
    made: bool = False
    moving: int | None = None
    verdict: tuple[int, FailureReason] | None = None
    work: Work | None = None
    told: Seen | None = None
    told_since: datetime | None = None


@dataclass
class Box:
    """``runs`` are the times during which a task could really be used. ``faults``: starts fail sometimes."""

    name: str
    rng: random.Random
    workers: dict[int, Worker] = field(default_factory=dict)
    runs: dict[int, list[tuple[datetime, datetime | None]]] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    sent: dict[int, int] = field(default_factory=dict)
    """Bytes by task."""
    faults: bool = True
    engine_away: bool = False

    def advance(self, now: datetime) -> None:
        """Let the workers go on until ``now``, in the order in which things happen."""
        if self.engine_away:
            return
        for worker in list(self.workers.values()):
            self._think(worker, now)
        while due := [w for w in self.workers.values() if w.work and w.work.until and w.work.until <= now]:
            worker = min(due, key=lambda w: (_until(w), w.task_id))
            work, until = worker.work, _until(worker)
            assert work is not None
            worker.work = None
            self._finish(worker, work, until)
            self._think(worker, until)

    def wish(self, tasks: list[DesiredTask], now: datetime) -> None:
        """Take in the complete wishes. Tasks not among them are left as they are."""
        wished = {task.task_id: task for task in tasks}
        for task in tasks:
            worker = self.workers.setdefault(task.task_id, Worker(task.task_id))
            if worker.wish != task:
                worker.wish, worker.ssh = task, task.spec.mode == "ssh"
                self._interrupt(worker)
        for worker in [w for w in self.workers.values() if w.task_id not in wished]:
            worker.wish = None
            if worker.container is None and worker.work is None:
                del self.workers[worker.task_id]
        self.advance(now)

    def observed(self, now: datetime) -> list[ObservedTask]:
        """Everything known about the tasks, for the server."""
        return [self._observed(w, w.told, now) for w in self.workers.values() if w.told is not None]

    def running(self) -> dict[int, frozenset[str]]:
        """GPUs in use by task."""
        return {w.task_id: w.container.gpus for w in self.workers.values() if w.container and w.container.running}

    def at_rest(self) -> bool:
        """Whether no work is under way."""
        return not any(worker.work for worker in self.workers.values())

    def crash(self, now: datetime) -> None:
        """The agent dies and begins anew. What was under way has happened or not; containers go on."""
        for worker in self.workers.values():
            work, worker.work, worker.wish = worker.work, None, None
            if work is not None and work.kind in ("start", "stop", "create", "remove") and self.rng.random() < 0.5:
                self._finish(worker, work, now)
            worker.told = None
            self._think(worker, now)

    def reboot(self, now: datetime) -> None:
        """The whole machine: every container ends with the engine."""
        for worker in self.workers.values():
            worker.work = None
            self._end(worker, now, with_engine=True)
        self.crash(now)

    def exit(self, task_id: int, now: datetime) -> None:
        """The container's command ends by itself."""
        worker = self.workers[task_id]
        self._end(worker, now)
        if worker.work is not None and worker.work.kind in ("ready", "stop"):
            worker.work = None
        self._think(worker, now)

    def lose(self, task_id: int, now: datetime) -> None:
        """Somebody deletes the container behind our back."""
        worker = self.workers[task_id]
        self._end(worker, now)
        worker.container, worker.work = None, None
        self.lost.add(task_id)
        self._think(worker, now)

    def _observed(self, worker: Worker, told: Seen, now: datetime) -> ObservedTask:
        since = worker.told_since or now
        if worker.container is not None and worker.container.running:
            self.sent[worker.task_id] = self.sent.get(worker.task_id, 0) + BYTES_A_REPORT
        return ObservedTask(
            task_id=worker.task_id,
            phase=told.phase,
            run_generation=told.run,
            age_seconds=max((now - since).total_seconds(), 0.0),
            exit_code=0 if told.phase == "exited" else None,
            reason=told.reason,
            message="It broke." if told.reason else "",
            net_tx_bytes=self.sent.get(worker.task_id),
        )

    def _interrupt(self, worker: Worker) -> None:
        """A wish changed: waiting for SSH is given up, a pull perhaps, anything else is brought to its end."""
        work = worker.work
        if work is not None and (work.kind == "ready" or (work.kind == "create" and self.rng.random() < 0.5)):
            worker.work = None

    def _think(self, worker: Worker, now: datetime) -> None:
        if worker.work is not None:
            return
        step = self._next(worker)
        told = step.tells if isinstance(step, Work) else step
        if told is not None and (worker.told is None or (told.phase, told.run) != (worker.told.phase, worker.told.run)):
            worker.told_since = told.since or now
        worker.told = told or worker.told
        if isinstance(step, Work):
            until = now + timedelta(microseconds=round(step.seconds * 1_000_000))
            worker.work = Work(step.kind, step.tells, step.seconds, step.gpus, until)

    def _next(self, worker: Worker) -> Work | Seen | None:
        wish, container = worker.wish, worker.container
        if wish is None:
            return self._without_wish(worker)
        if wish.state == "removed":
            return self._next_removed(worker, wish)
        if container is None:
            return self._next_absent(worker, wish)
        if container.running:
            return self._next_running(worker, wish, container)
        failed = self._failed(worker, wish)
        if wish.state != "running":
            return Seen("stopped", wish.run_generation, container.since)
        if container.run < wish.run_generation:
            if failed:
                return failed
            if container.gpus != frozenset(wish.gpu_uuids):
                return Work("move", Seen("creating", wish.run_generation), self._seconds(20))
            return Work("start", Seen("starting", wish.run_generation), self._seconds(3))
        reason: FailureReason = "engine_down" if container.ended_with_engine else "exited"
        return Seen("exited", container.run, container.since, reason)

    def _without_wish(self, worker: Worker) -> Seen | None:
        """Nothing is done, but told truly."""
        container = worker.container
        if container is None:
            return Seen("failed", worker.verdict[0], reason=worker.verdict[1]) if worker.verdict else None
        if container.running:
            usable = container.ready or not worker.ssh
            return Seen("running" if usable else "starting", container.run, container.since)
        if container.run == NEVER_RAN:
            return None
        reason: FailureReason = "engine_down" if container.ended_with_engine else "exited"
        return Seen("exited", container.run, container.since, reason)

    def _next_removed(self, worker: Worker, wish: DesiredTask) -> Work | Seen:
        if worker.container is not None and worker.container.running:
            return Work("stop", Seen("stopping", worker.container.run), self._seconds(2))
        if worker.container is not None or worker.made:
            return Work("remove", Seen("stopping", wish.run_generation), self._seconds(2))
        return Seen("removed", wish.run_generation)

    def _next_absent(self, worker: Worker, wish: DesiredTask) -> Work | Seen:
        if worker.made and worker.moving is None:
            worker.verdict = (wish.run_generation, "container_lost")
            worker.made = False
        failed = self._failed(worker, wish)
        if failed and (wish.state == "running" or failed.reason == "container_lost"):
            return failed
        if wish.state == "stopped":
            return Seen("stopped", wish.run_generation)
        return Work("create", Seen("pulling", wish.run_generation), self._seconds(90), gpus=frozenset(wish.gpu_uuids))

    def _next_running(self, worker: Worker, wish: DesiredTask, container: Container) -> Work | Seen:
        if wish.state == "stopped":
            return Work("stop", Seen("stopping", container.run), self._seconds(wish.stop_grace_seconds))
        if container.run < wish.run_generation:
            return Work("stop", Seen("stopping", container.run), self._seconds(wish.stop_grace_seconds))
        if worker.ssh and not container.ready:
            return Work("ready", Seen("starting", container.run, container.since), self._seconds(20))
        return Seen("running", container.run, container.since)

    @staticmethod
    def _failed(worker: Worker, wish: DesiredTask) -> Seen | None:
        if worker.verdict is None or worker.verdict[0] < wish.run_generation:
            return None
        return Seen("failed", worker.verdict[0], reason=worker.verdict[1])

    def _seconds(self, most: float) -> float:
        return self.rng.choice((0.0, 0.0, 0.05, self.rng.uniform(0, most)))

    def _finish(self, worker: Worker, work: Work, now: datetime) -> None:
        finish = {
            "create": self._created,
            "start": self._started,
            "ready": self._ready,
            "stop": self._stopped,
            "move": self._moved,
            "remove": self._removed,
        }
        finish[work.kind](worker, work, now)

    def _created(self, worker: Worker, work: Work, now: datetime) -> None:
        if self.faults and self.rng.random() < 0.04:
            worker.verdict = (work.tells.run, "image_pull_failed")
            return
        run = NEVER_RAN if worker.moving is None else worker.moving
        worker.container = Container(work.gpus, now, run=run)
        worker.made, worker.moving = True, None

    def _started(self, worker: Worker, work: Work, now: datetime) -> None:
        container = worker.container
        assert container is not None
        if self.faults and self.rng.random() < 0.04:
            worker.verdict = (work.tells.run, "port_taken")
            return
        for other, gpus in self.running().items():
            must(not gpus & container.gpus, f"{self.name}: tasks {other} and {worker.task_id} run on", gpus)
        container.run, container.running, container.since = work.tells.run, True, now
        container.ready = container.ended_with_engine = False
        if not worker.ssh:
            self._usable(worker, now)

    def _ready(self, worker: Worker, _: Work, now: datetime) -> None:
        assert worker.container is not None
        worker.container.ready, worker.container.since = True, now
        self._usable(worker, now)

    def _usable(self, worker: Worker, now: datetime) -> None:
        self.runs.setdefault(worker.task_id, []).append((now, None))

    def _stopped(self, worker: Worker, _: Work, now: datetime) -> None:
        self._end(worker, now)

    def _moved(self, worker: Worker, _: Work, __: datetime) -> None:
        assert worker.container is not None
        worker.moving, worker.container = worker.container.run, None

    def _removed(self, worker: Worker, _: Work, __: datetime) -> None:
        worker.container, worker.made, worker.moving, worker.verdict = None, False, None, None

    def _end(self, worker: Worker, now: datetime, *, with_engine: bool = False) -> None:
        container = worker.container
        if container is None or not container.running:
            return
        container.running, container.since, container.ended_with_engine = False, now, with_engine
        runs = self.runs.get(worker.task_id)
        if runs and runs[-1][1] is None:
            runs[-1] = (runs[-1][0], now)


def _until(worker: Worker) -> datetime:
    assert worker.work is not None
    assert worker.work.until is not None
    return worker.work.until
