"""One machine's agent: registration, inventory, tasks and sync, put together."""

import logging
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from agent import __version__
from agent.backoff import Backoff
from agent.guest.tools import GuestTools
from agent.images.fetched import FetchedImages
from agent.images.janitor import Janitor
from agent.inventory.choosing import sources, surroundings
from agent.inventory.collect import collect
from agent.inventory.sources import InventoryError
from agent.jobs.courier import Courier
from agent.jobs.handlers import handlers
from agent.jobs.record import JobStore
from agent.jobs.runner import JobRunner, JobTools
from agent.jobs.workplace import Workplace
from agent.kept_logs import KeptLogs
from agent.logs import say
from agent.options import MachineOptions, OptionError
from agent.outside import Outside
from agent.protocol import PROTOCOL_VERSION, SYNC_PATH, Inventory, SyncReply, ToolsBundle
from agent.register_protocol import RegisterRequest
from agent.server import RefusedError, ServerAwayError, ServerClient
from agent.shared import Shared, data_directory
from agent.state import StateDir
from agent.sync import Account, Session, Surroundings, SyncLoop
from agent.tasks.admission import FreeImages
from agent.tasks.memory import MemoryStore, TrafficStore
from agent.tasks.plan import Identity
from agent.tasks.reconciler import Reconciler
from agent.tasks.tools import Tools, has_room
from agent.telemetry.looking import Looked, Looker
from agent.telemetry.telling import MachineTelemetry
from agent.upkeep.upkeep import Upkeep, Work
from agent.volumes import VolumeKeeper

_log = logging.getLogger(__name__)

_INVENTORY_SECONDS = 600.0
_ADOPTION_SECONDS = 10.0
_RETIRING_SECONDS = 120.0


class HostAgent:
    """``run_until_refused`` registers if needed, starts everything and returns when the server refuses the machine."""

    def __init__(self, options: MachineOptions, shared: Shared, *, alone: bool = True) -> None:
        """``alone`` on its machine, it tells of itself there and deletes images that nobody needs."""
        self._options = options
        self._shared = shared
        self._alone = alone
        self._directory = StateDir(options.state_dir)
        self._directory.hold()
        self._state = self._directory.load()
        self._gpus, self._host = sources(
            options,
            disk_gb=self._state.disk_gb,
            seed=self._state.boot_id,
            data_directory=data_directory(shared.hub, options.state_dir),
        )
        self._inventory_at = 0.0
        self._inventory: Inventory | None = None
        self._ending = threading.Event()
        self._refusal: RefusedError | None = None
        self._refused = threading.Event()
        self._sync: SyncLoop | None = None
        self._reconciler: Reconciler | None = None
        self._jobs: JobRunner | None = None
        self._logs: KeptLogs | None = None
        self._volumes: VolumeKeeper | None = None
        self._telemetry: MachineTelemetry | None = None
        self._owner = ""
        self._guest_tools: GuestTools | None = None
        self.wants_restart = False  # ended to be started again, as another version
        self._upkeep = Upkeep(options.state_dir, options.server, client=self._client, restart=self._restart)
        self._fetched = FetchedImages(self._directory.path, shared.hub.engine)
        self._outside = Outside(self._directory.path, self._started)
        if options.token is None and self._state.credential is None:
            raise OptionError("This machine is not registered yet: give the install token from Host / Setup.")
        if self._state.server not in (None, options.server):
            say(_log, "server_address_changed", level=logging.WARNING, before=self._state.server, now=options.server)
            self._state = self._state.changed(server=options.server, sync_url=options.server + SYNC_PATH)

    def run_until_refused(self) -> None:
        """Raises ``RefusedError`` when the server says no for good, ``InventoryError`` where there is no usable GPU.

        Returns after ``stop``.
        """
        if self._alone:
            self._upkeep.start()
        if self._state.credential is None:
            try:
                self._register()
            except RefusedError as refusal:
                self._upkeep.refused(refusal)
                raise
        while not self._ending.is_set():
            self._run_session()
            self._refused.wait()
            if self._ending.is_set():
                return
            self._after_refusal()

    @property
    def registered(self) -> bool:
        """Whether the machine holds a credential of its own, valid or not."""
        return self._state.credential is not None

    def stop(self) -> None:
        """End the agent; its containers go on."""
        self._ending.set()
        self._upkeep.stop()
        if self._guest_tools is not None:
            self._guest_tools.stop()
        self._outside.stop()
        if self._sync is not None:
            self._sync.stop()
        self._refused.set()

    def _restart(self) -> None:
        self.wants_restart = True
        self.stop()

    def _after_refusal(self) -> None:
        """A revoked machine whose owner gave a token registers again; for the rest the refusal is the end."""
        refusal = self._refusal
        if refusal is None:
            return
        if refusal.status != 401 or self._options.token is None or self._state.credential is None:
            self._upkeep.refused(refusal)
            if self.wants_restart:
                return
            raise refusal
        say(_log, "registers_again", why=refusal.error)
        self._end_session()
        try:
            self._register()
        except RefusedError as again:
            say(_log, "registration_refused", level=logging.ERROR, error=again.error, msg=again.msg)
            raise refusal from again
        self._options = replace(self._options, token=None)
        self._refusal = None
        self._refused.clear()

    def _register(self) -> None:
        """Until the server has answered."""
        backoff = Backoff()
        client = self._client()
        while not self._ending.is_set():
            try:
                self._register_once(client)
                return
            except ServerAwayError as error:
                say(_log, "server_away", level=logging.WARNING, why=error)
                self._upkeep.away(str(error))
                self._upkeep.works()
                self._ending.wait(backoff.next_seconds())

    def _register_once(self, client: ServerClient) -> None:
        inventory = self._collect()
        request = RegisterRequest(
            protocol=PROTOCOL_VERSION,
            agent_version=__version__,
            token=self._options.token or "",
            boot_id=self._state.boot_id,
            inventory=inventory,
        )
        reply = client.register(self._options.server, request)
        self._state = self._state.changed(
            server=self._options.server,
            machine_id=reply.machine_id,
            credential=reply.credential,
            sync_url=reply.sync_url,
            disk_gb=inventory.disk_total_gb,
        )
        self._directory.save(self._state)
        say(_log, "registered", machine=reply.machine_id, server=self._options.server)

    def _run_session(self) -> None:
        """Adopt what is there, then sync."""
        state = self._state
        if state.machine_id is None or state.credential is None or state.sync_url is None:
            return
        identity = Identity(state.machine_id, state.boot_id, self._gpus.simulated)
        self._directory.publish_owner(identity.owner)
        account = Account(
            boot_id=state.boot_id,
            credential=state.credential,
            sync_url=state.sync_url,
            home_url=self._options.server + SYNC_PATH,
        )
        self._guest_tools = self._tools_for(state.credential)
        self._guest_tools.start()
        reconciler, sync = self._connect(identity, account)
        self._shared.hub.subscribe(identity.owner, reconciler, sync.report)
        if not reconciler.wait_until_at_rest(_ADOPTION_SECONDS):
            say(_log, "adoption_slow", level=logging.WARNING)
        say(_log, "agent_runs", machine=state.machine_id, tasks=len(reconciler.slots()))
        self._sync, self._reconciler, self._owner = sync, reconciler, identity.owner
        self._upkeep.begin(self._work(identity, reconciler))
        sync.start()

    def _work(self, identity: Identity, reconciler: Reconciler) -> Work:
        jobs, logs, hub = self._jobs, self._logs, self._shared.hub
        assert jobs is not None  # noqa: S101 - both were made with the reconciler
        assert logs is not None  # noqa: S101 - likewise
        return Work(
            machine_id=identity.machine_id,
            simulated=identity.simulated,
            tasks=reconciler,
            jobs=jobs,
            logs=logs,
            engine_error=lambda: hub.error,
            data_root=data_directory(hub, self._options.state_dir),
            tidy=Janitor(
                engine=hub.engine,
                fetched=self._fetched,
                wanted=reconciler.images,
                data_root=hub.data_root,
                floor_gb=self._options.disk_floor_gb,
                submit=self._shared.pool.submit,
            ).tick,
        )

    def _end_session(self) -> None:
        """Let go of the tasks, so that the next session can take them."""
        if self._reconciler is None:
            return
        self._shared.hub.unsubscribe(self._owner)
        self._shared.usage.unwatch(self._reconciler)
        if self._telemetry is not None:
            self._shared.telemetry.unwatch(self._telemetry)
        for rounds in self._shared.rounds:
            rounds.unwatch(self._reconciler)
        self._reconciler.retire()
        if self._volumes is not None:
            self._volumes.retire()
        if self._jobs is not None and self._logs is not None:
            self._jobs.retire()
            self._logs.stop()
        self._reconciler.wait_until_at_rest(_RETIRING_SECONDS)

    def _connect(self, identity: Identity, account: Account) -> tuple[Reconciler, SyncLoop]:
        """Tasks and sync tell each other; the one that exists first is told of the other here."""
        store = MemoryStore(self._directory.tasks(identity.machine_id))
        self._logs = KeptLogs(self._directory.logs(identity.machine_id), self._shared.hub.engine)
        told: list[SyncLoop] = []

        def on_change(urgent: bool) -> None:
            self._outside.look()
            for loop in told:
                loop.report(urgent)

        volumes = self._volumes = VolumeKeeper(
            engine=self._shared.hub.engine,
            identity=identity,
            pool=self._shared.pool,
            on_change=lambda: on_change(True),
            checkpoint=self._shared.checkpoint,
        )
        tools = replace(self._tools(identity, store, self._logs), provide_volume=volumes.provide)
        reconciler = Reconciler(
            tools=tools, pool=self._shared.pool, on_change=on_change, on_engine_down=self._shared.hub.report_down
        )
        reconciler.remember(store.load_all())
        self._shared.usage.watch(reconciler, tools.traffic, volumes)
        for rounds in self._shared.rounds:
            rounds.watch(reconciler, lambda: on_change(False))
        courier = Courier(self._client, lambda: self._state.sync_url or "", account.credential)
        self._telemetry = self._measured(reconciler, courier)
        self._jobs = self._job_runner(tools, reconciler, courier, on_change)
        self._logs.start(courier)
        around = Surroundings(
            inventory=self._current_inventory,
            engine_error=lambda: self._shared.problem(simulated=self._gpus.simulated),
            on_sync_url=self._keep_sync_url,
            on_refused=self._on_refused,
            on_tools=self._announce_tools,
            jobs=self._jobs,
            relay_key=lambda: self._outside.relay_key,
            on_reply=self._heed,
            on_away=self._upkeep.away,
            update_failure=self._upkeep.failure,
            volumes=volumes.reports,
        )
        sync = SyncLoop(Session(account, reconciler, around), client=self._client, pool=self._shared.pool)
        told.append(sync)
        return reconciler, sync

    def _measured(self, reconciler: Reconciler, courier: Courier) -> MachineTelemetry:
        looked = Looked(gpus=self._gpus, host=self._host, engine=self._shared.hub.engine, slots=reconciler.slots)
        telemetry = MachineTelemetry(Looker(looked), courier.tell)
        self._shared.telemetry.watch(telemetry)
        return telemetry

    def _job_runner(
        self, tools: Tools, reconciler: Reconciler, courier: Courier, on_change: Callable[[bool], None]
    ) -> JobRunner:
        workplace = Workplace(
            engine=tools.engine,
            identity=tools.identity,
            disk_guard=tools.disk_guard,
            mount_point=self._options.state_dir / "disk",
            has_room=lambda more_mb: has_room(tools, more_mb),
            remembered=tools.store.load,
            change_memory=reconciler.change_memory,
        )
        job_tools = JobTools(
            store=JobStore(self._directory.jobs(tools.identity.machine_id)),
            courier=courier,
            handlers=handlers(workplace),
            on_change=on_change,
            checkpoint=self._shared.checkpoint,
        )
        return JobRunner(job_tools)

    def _tools(self, identity: Identity, store: MemoryStore, logs: KeptLogs) -> Tools:
        return Tools(
            engine=self._shared.hub.engine,
            store=store,
            traffic=TrafficStore(self._directory.tasks(identity.machine_id)),
            free_images=FreeImages(self._directory.path),
            identity=identity,
            disk_floor_gb=self._options.disk_floor_gb,
            data_root=self._shared.hub.data_root,
            checkpoint=self._shared.checkpoint,
            tools_volume=self._guest_tools.volume if self._guest_tools is not None else str,
            keep_log=logs.keep,
            fetching=self._fetched.fetching,
            local_registries=self._options.local_registries,
        )

    def _tools_for(self, credential: str) -> GuestTools:
        """The guest tools of a session; the ones before it end."""
        if self._guest_tools is not None:
            self._guest_tools.stop()
        return GuestTools(
            self._options.state_dir / "tools",
            platform.machine(),
            self._shared.hub.engine,
            fetch=lambda url, offset: self._client().fetch(url, credential, offset),
            point=lambda name: self._shared.checkpoint(name, 0),
        )

    def _announce_tools(self, bundle: ToolsBundle | None) -> None:
        if self._guest_tools is not None:
            self._guest_tools.announce(bundle)

    def _started(self) -> set[int]:
        return set() if self._reconciler is None else self._reconciler.started()

    def _heed(self, reply: SyncReply) -> None:
        """Before the tasks are acted on, which may need what is said here."""
        self._outside.heed(reply)
        if self._volumes is not None:
            self._volumes.apply(reply.volumes)
        self._upkeep.answered(reply)

    def _client(self) -> ServerClient:
        return ServerClient(self._options.ca_file)

    def _keep_sync_url(self, sync_url: str) -> None:
        self._state = self._state.changed(sync_url=sync_url)
        self._directory.save(self._state)
        say(_log, "sync_url_changed", url=sync_url)

    def _on_refused(self, error: RefusedError) -> None:
        self._refusal = error
        self._refused.set()

    def _current_inventory(self) -> Inventory | None:
        """Looked at anew every ten minutes; what was last seen while the driver does not answer."""
        self._upkeep.works()
        due = time.monotonic() - self._inventory_at > _INVENTORY_SECONDS
        if self._inventory is None or due or self._inventory.engine_version != self._engine_version:
            self._inventory_at = time.monotonic()
            try:
                self._inventory = self._collect()
            except InventoryError as error:
                say(_log, "inventory_failed", level=logging.WARNING, why=error)
        return self._inventory

    @property
    def _engine_version(self) -> str:
        info = self._shared.hub.info
        return info.version if info else ""

    def _collect(self) -> Inventory:
        return collect(self._gpus, self._host, surroundings(self._options, self._shared.hub.info))
