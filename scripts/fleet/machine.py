"""One simulated machine: registers, syncs and measures over the real protocol, and has its ups and downs."""

import functools
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from agent import __version__
from agent.engine.types import EngineInfo
from agent.inventory.collect import Surroundings as Around
from agent.inventory.collect import collect
from agent.inventory.host import HostOptions
from agent.inventory.simulated import SimulatedMachine
from agent.pool import Pool
from agent.protocol import PROTOCOL_VERSION, SYNC_PATH, Inventory, SyncReply, SyncRequest
from agent.register_protocol import RegisterRequest
from agent.server import RefusedError, ServerAwayError, ServerClient
from agent.sync import Account, Session, Surroundings, SyncLoop
from agent.telemetry.telling import LOOK_SECONDS, MachineTelemetry
from agent.telemetry_protocol import TelemetryReply, TelemetryRequest
from scripts.fleet import plan
from scripts.fleet.api import Api, ApiError
from scripts.fleet.clock import Clock
from scripts.fleet.figures import SimulatedLooker
from scripts.fleet.tally import Tally
from scripts.fleet.tasks import SimulatedTasks

_log = logging.getLogger(__name__)
ENGINE = EngineInfo(version="drill", cpus=1, ram_mb=1024, data_root="")
LISTED_DAYS = 60
DAY_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Drill:
    """What all machines of a drill share."""

    server: str
    host: Api
    clock: Clock
    pool: Pool
    tally: Tally
    rates: plan.Rates
    seed: int


class KnownMachine(msgspec.Struct, frozen=True):
    """What is kept of a machine between drills."""

    boot_id: str
    machine_id: int
    credential: str
    sync_url: str


class TimedClient(ServerClient):
    """Counts and times what is not held."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def sync(self, url: str, credential: str, request: SyncRequest) -> SyncReply:
        """See ServerClient."""
        began = time.monotonic()
        try:
            reply = super().sync(url, credential, request)
        except (ServerAwayError, RefusedError) as error:
            self._tally.count(f"error: sync {type(error).__name__}")
            raise
        if request.hold_seconds == 0:
            self._tally.took("sync", time.monotonic() - began)
        return reply

    def tell(self, base: str, credential: str, request: TelemetryRequest) -> TelemetryReply:
        """See ServerClient."""
        began = time.monotonic()
        try:
            reply = super().tell(base, credential, request)
        except (ServerAwayError, RefusedError) as error:
            self._tally.count(f"error: telemetry {type(error).__name__}")
            raise
        self._tally.took("telemetry", time.monotonic() - began)
        return reply


class Machine:
    """``start`` it once; it goes away and comes back by itself until ``stop``."""

    def __init__(self, drill: Drill, wish: plan.MachinePlan, known: KnownMachine | None) -> None:
        self._drill = drill
        self._plan = wish
        self._dice = random.Random(f"{drill.seed}/{wish.number}")  # noqa: S311 - has to be repeatable, not secret
        seed = f"{drill.seed}-{wish.number}"
        self._hardware = SimulatedMachine(wish.simulate, seed, HostOptions(hostname=wish.name))
        self._price = wish.dollars_per_gpu_hour
        self.known = known
        self.tasks = SimulatedTasks(drill.clock, drill.rates, self._dice, self._changed)
        self._loop: SyncLoop | None = None
        self._turning = threading.Lock()
        """Held while it goes on or off line: however that comes about, it has one loop at the most."""
        self._lost: set[str] = set()
        self._client = TimedClient(drill.tally)
        self._figures: MachineTelemetry | None = self._measuring()
        """None while it is restarted."""
        self._ended = threading.Event()

    @property
    def is_online(self) -> bool:
        """Whether it speaks to the server now."""
        return self._loop is not None

    def start(self) -> None:
        """Register where that is still to be done, list, sync, and let things happen from then on."""
        if self.known is None:
            self.known = self._register()
        self._go_online()
        self._list(until=int(time.time()) + LISTED_DAYS * DAY_SECONDS)
        self._drill.clock.after(self._dice.uniform(0, LOOK_SECONDS), self._measure)
        self._expect_event()

    def stop(self) -> None:
        """Say nothing more."""
        self._ended.set()
        self._go_offline()

    def _register(self) -> KnownMachine:
        boot_id = uuid.uuid4().hex
        token = str(self._drill.host.call("POST", "/machines/install_tokens/", {"name": self._plan.name})["token"])
        request = RegisterRequest(
            protocol=PROTOCOL_VERSION,
            agent_version=__version__,
            token=token,
            boot_id=boot_id,
            inventory=self._inventory(),
        )
        reply = self._client.register(self._drill.server, request)
        return KnownMachine(boot_id, reply.machine_id, reply.credential, reply.sync_url)

    def _inventory(self) -> Inventory:
        first, last = self._plan.ports
        around = Around(engine=ENGINE, port_first=first, port_last=last, public_address=None, geolocation="Nowhere, XX")
        return collect(self._hardware, self._hardware, around)

    def _go_online(self) -> None:
        known = self.known
        if known is None or self._ended.is_set():
            return
        account = Account(
            boot_id=known.boot_id,
            credential=known.credential,
            sync_url=known.sync_url,
            home_url=self._drill.server + SYNC_PATH,
        )
        inventory = self._inventory()
        around = Surroundings(
            inventory=lambda: inventory,
            engine_error=lambda: None,
            on_sync_url=lambda _url: None,
            on_refused=self._on_refused,
        )
        session = Session(account, self.tasks, around)
        with self._turning:
            if self._loop is not None or self._ended.is_set():
                return
            client = functools.partial(TimedClient, self._drill.tally)
            self._loop = SyncLoop(session, client=client, pool=self._drill.pool)
            self._loop.start()

    def _go_offline(self) -> None:
        with self._turning:
            if self._loop is not None:
                self._loop.stop()
                self._loop = None

    def _on_refused(self, error: RefusedError) -> None:
        _log.warning("machine %s is refused: %s", self._plan.name, error.msg)
        self._drill.tally.count("error: machine refused")

    def _changed(self) -> None:
        loop = self._loop
        if loop is not None:
            loop.report()

    def _expect_event(self) -> None:
        expected = plan.next_event(self._drill.rates, self._dice)
        if expected is not None and not self._ended.is_set():
            seconds, event = expected
            self._drill.clock.after(seconds, lambda: self._drill.pool.submit(lambda: self._happen(event)))

    def _happen(self, event: plan.MachineEvent) -> None:
        """Let it happen, and what ends it; then wait for the next, which meets no machine that is away."""
        self._drill.tally.count(event)
        away = plan.away_seconds(event, self._dice)
        if event in ("offline", "reboot"):
            self._go_offline()
            if event == "reboot":
                self._figures = None
            self._later(away, lambda: self._return(rebooted=event == "reboot"))
            return
        if event == "gpu_lost":
            lost = self._dice.choice(self._hardware.gpus()).uuid
            self._lost.add(lost)
            self._later(away, lambda: self._lost.discard(lost))
        elif event == "reprice":
            self._price = plan.price(self._price, self._dice)
            self._list()
        else:
            self._ask("DELETE", f"/machines/{self._id}/asks/", {})
            self._later(away, self._list)
        self._expect_event()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._drill.clock.after(seconds, lambda: self._drill.pool.submit(action))

    def _return(self, *, rebooted: bool) -> None:
        if rebooted:
            self._figures = self._measuring()
            self.tasks.reboot()
        self._go_online()
        self._expect_event()

    @property
    def _id(self) -> int:
        return self.known.machine_id if self.known is not None else 0

    def _list(self, until: int | None = None) -> None:
        """At its price; ``until`` in seconds since 1970, else as before."""
        terms: dict[str, object] = {
            "machine": self._id,
            "price_gpu": self._price,
            "price_disk": 0.1,
            "price_inetu": 0.002,
            "price_inetd": 0.002,
        }
        if until is not None:
            terms["end_date"] = until
        self._ask("PUT", "/machines/create_asks/", terms)

    def _ask(self, method: str, path: str, body: dict[str, object]) -> None:
        if self._ended.is_set():
            return
        try:
            self._drill.host.call(method, path, body)
        except ApiError as error:
            self._drill.tally.count(f"error: host {error.code}")

    def _measure(self) -> None:
        if self._ended.is_set():
            return
        self._drill.clock.after(LOOK_SECONDS, self._measure)
        figures = self._figures
        if figures is not None:
            self._drill.pool.submit(lambda: self._tell_figures(figures))

    def _tell_figures(self, figures: MachineTelemetry) -> None:
        """A machine that is cut off goes on measuring, and tells it all when it is back."""
        figures.look()
        if self.is_online:
            figures.tell()

    def _measuring(self) -> MachineTelemetry:
        """Of a boot that begins now."""
        looker = SimulatedLooker(self._hardware, self.tasks, lambda: set(self._lost), uuid.uuid4().hex)
        send = functools.partial(self._send_figures, TimedClient(self._drill.tally))
        return MachineTelemetry(looker, send, self._drill.clock.now)

    def _send_figures(self, client: TimedClient, request: TelemetryRequest) -> TelemetryReply:
        known = self.known
        if known is None:
            raise ServerAwayError("not registered yet")
        return client.tell(known.sync_url.removesuffix(SYNC_PATH), known.credential, request)
