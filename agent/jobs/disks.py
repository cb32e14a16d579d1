"""A disk on its way to another machine: the job that packs it and hands it out, and the one that takes it in."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.backoff import Backoff
from agent.engine.types import ContainerFacts, PutArchive
from agent.freight.counter import handing_out
from agent.freight.fetching import Counter, CutOffError, EndedError, SpoiltError
from agent.freight.parcel import Packing, Parcel, Part, part_file, require_only, unpacked
from agent.freight.rsync import amount
from agent.jobs.kinds import JobContext, JobError, Outcome, arguments_of
from agent.jobs.workplace import Workplace, runs
from agent.tasks.disk_guard import DiskBusyError
from agent.tasks.memory import NO_RUN, SavedDisk, TaskMemory
from agent.tasks.plan import disk_name

_MB = 1 << 20
_LOOK_SECONDS = 0.5
_GUARD_SECONDS = 30.0
_MOST_SPOILT = 3
_SLACK_MB = 256
"""Archives are a little larger than what is in them."""


class SendOrder(msgspec.Struct, frozen=True, kw_only=True):
    """``port`` is where the parcel is handed out to who shows the token."""

    port: int
    token: str


class ReceiveOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Where the parcel is, and what is in it, as its sender told."""

    addresses: list[tuple[str, int]]
    token: str
    fingerprint: str
    parcel: Parcel


class SendDisk:
    """Goes on until it is not wanted any more: then somebody has the disk, or nobody is to have it. Repeatable: a
    parcel that was packed is handed out again."""

    repeatable = True
    lasting = True

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, context: JobContext) -> Outcome:
        order = arguments_of(context, SendOrder)
        guard = self._workplace.disk_guard
        try:
            # Nothing changes the disk meanwhile, and its port is free: a start or a removal ends this first.
            with guard.using(context.job.task_id or 0, context.stop.set, wait_seconds=_GUARD_SECONDS):
                self._hand_out(context, order, self._packed(context))
        except DiskBusyError as error:
            raise JobError("busy", "The source's disk is in use just now.") from error
        raise JobError("ended", "The disk is handed out no more.")

    def _packed(self, context: JobContext) -> Parcel:
        container = self._container(context)
        memory = self._workplace.remembered(context.job.task_id or 0)
        repository = disk_name(self._workplace.identity, context.job.task_id or 0).repository
        packing = Packing(
            engine=self._workplace.engine,
            folder=context.workspace(),
            image=f"{repository}:sent-{context.job.job_id}",
            origin=memory.origin(container.container_id) if memory is not None else None,
            told=lambda share: context.tell(share, "Packing the disk."),
            must_end=lambda: context.must_end,
        )
        context.tell(0.0, "Packing the disk.")
        return packing.packed(container)

    def _container(self, context: JobContext) -> ContainerFacts:
        container = self._workplace.container(context)
        if container is None or container.status == "removing":
            raise JobError("no_container", "The instance has never run, or was removed, so it has no disk to move.")
        if runs(container):
            raise JobError("busy", "The instance still runs.")
        return container

    def _hand_out(self, context: JobContext, order: SendOrder, parcel: Parcel) -> None:
        total = sum(part.size_bytes for part in parcel.parts)
        with handing_out(context.workspace(), order.port, order.token, lambda _more: None) as fingerprint:
            context.show({"parcel": msgspec.to_builtins(parcel), "fingerprint": fingerprint})
            context.tell(1.0, f"Packed: {amount(total)}.")
            while not context.must_end:
                context.stop.wait(_LOOK_SECONDS)


class ReceiveDisk:
    """Repeatable: what has arrived is not fetched again."""

    repeatable = True
    lasting = True

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, context: JobContext) -> Outcome:
        order = arguments_of(context, ReceiveOrder)
        task_id = context.job.task_id or 0
        if self._workplace.container(context) is not None:
            raise JobError("occupied", "The target has a disk already.")
        memory = self._workplace.remembered(task_id)
        if memory is None or memory.moving is None:
            self._require_room(order.parcel)
            self._fetch(context, order)
            self._take_in(context, order.parcel)
        total = sum(part.size_bytes for part in order.parcel.parts)
        return Outcome(result={"bytes": total}, message=f"Received: {amount(total)}.")

    def _require_room(self, parcel: Parcel) -> None:
        total_mb = sum(part.size_bytes for part in parcel.parts) // _MB
        if not self._workplace.has_room(total_mb + parcel.whole_mb):
            need = amount((total_mb + parcel.whole_mb) * _MB)
            raise JobError(
                "disk_full", f"The target's host has too little free space: the disk needs {need} on its way."
            )

    def _fetch(self, context: JobContext, order: ReceiveOrder) -> None:
        backoff, tries, spoilt = Backoff(), 0, 0
        while True:
            host, port = order.addresses[tries // 2 % len(order.addresses)]
            counter = Counter(host=host, port=port, token=order.token, fingerprint=order.fingerprint)
            try:
                self._fetch_all(context, counter, order.parcel.parts)
            except CutOffError as error:
                context.tell(None, f"The source can't be reached now ({error}); this is tried again.")
            except SpoiltError as error:
                spoilt += 1
                if spoilt >= _MOST_SPOILT:
                    message = "What arrived is not what the source sent: its checksum differs, also after more tries."
                    raise JobError("checksum_mismatch", message) from error
            except EndedError as error:
                raise JobError("given_up", "The move was given up.") from error
            else:
                return
            tries += 1
            if context.stop.wait(backoff.next_seconds()) or context.must_end:
                raise JobError("given_up", "The disk did not arrive in time.")

    def _fetch_all(self, context: JobContext, counter: Counter, parts: list[Part]) -> None:
        total, before = max(1, sum(part.size_bytes for part in parts)), 0
        began, first = time.monotonic(), None
        for number, part in enumerate(parts):

            def came(there: int, before: int = before) -> None:
                nonlocal first
                done = before + there
                first = done if first is None else first
                rate = (done - first) / max(0.001, time.monotonic() - began)
                context.tell(0.9 * done / total, f"{amount(done)} of {amount(total)}, {amount(rate)}/s")

            counter.fetch(context.workspace(), number, part, came, lambda: context.must_end)
            before += part.size_bytes

    def _take_in(self, context: JobContext, parcel: Parcel) -> None:
        """Image and volumes are known to the task before there is anything of them, so that its removal finds them."""
        task_id = context.job.task_id or 0
        engine, folder = self._workplace.engine, context.workspace()
        repository = disk_name(self._workplace.identity, task_id).repository
        image = f"{repository}:received-{context.job.job_id}"
        places = {number: part.directory for number, part in enumerate(parcel.parts) if part.directory}
        volumes = {place: f"{repository.rpartition('/')[2]}-{number}" for number, place in places.items()}
        self._note(task_id, lambda memory: memory.changed(volumes=sorted(volumes.values())))
        context.tell(0.92, "Unpacking the disk.")
        require_only(part_file(folder, 0), parcel.image)
        most_bytes = (parcel.whole_mb + parcel.whole_mb // 4 + _SLACK_MB) * _MB
        try:
            engine.load_image(unpacked(part_file(folder, 0), most_bytes), parcel.image, image)
            if volumes:
                engine.fill_volumes(image, volumes, lambda put: _fill(put, places, folder, most_bytes))
            disk = SavedDisk(
                container_id="",
                image=image,
                volumes=volumes,
                given_names=parcel.given_names,
                used_mb=parcel.used_mb,
                base_mb=parcel.base_mb,
                last_run=NO_RUN,
            )
            self._note(task_id, lambda memory: memory.changed(moving=disk))
        except BaseException:
            engine.drop_image(image)
            raise

    def _note(self, task_id: int, change: Callable[[TaskMemory], TaskMemory]) -> None:
        if not self._workplace.change_memory(task_id, change):
            raise JobError("target_gone", "The target instance was destroyed meanwhile.")


def _fill(put: PutArchive, places: dict[int, str], folder: Path, most_bytes: int) -> None:
    """Unpack each volume's part where it is mounted."""
    for number, place in places.items():
        put(place, unpacked(part_file(folder, number), most_bytes))
