"""What every agent process needs around its agents: the engine's watch, the firewall, and an orderly end."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from agent import firewall
from agent.engine.docker_engine import DockerEngine
from agent.engine.hub import EngineHub
from agent.engine.labels import BRIDGE_PREFIX
from agent.guest.jupyter_watch import JupyterWatch
from agent.guest.watch import GuestWatch
from agent.logs import say
from agent.pool import Pool
from agent.shared import Shared
from agent.tasks.tools import Checkpoint, no_checkpoint
from agent.telemetry.telling import TelemetryRounds
from agent.usage import UsageSampler
from agent.walls import SWITCHED_OFF

_log = logging.getLogger(__name__)

EXIT_REFUSED = 2
EXIT_REVOKED = 3
EXIT_UNFIT = 4
EXIT_TOO_OLD = 5
EXIT_REPLACED = 75
_MOST_THREADS = 64


@contextmanager
def surroundings(*, use_firewall: bool, checkpoint: Checkpoint = no_checkpoint) -> Iterator[Shared]:
    """The engine watched, and the rules loaded, for as long as the block lasts. Containers outlive it."""
    ending = threading.Event()
    guard = firewall.Guard(BRIDGE_PREFIX)
    hub = EngineHub(DockerEngine(), on_up=guard.load if use_firewall else _nothing)
    usage = UsageSampler(hub.engine)
    rounds = (GuestWatch(hub.engine), JupyterWatch(hub.engine))
    pool = Pool(_MOST_THREADS, "tasks")
    telemetry = TelemetryRounds(pool)
    hub.start()
    usage.start()
    telemetry.start()
    for one in rounds:
        one.start()
    if use_firewall:
        threading.Thread(target=guard.keep, args=(ending,), name="firewall", daemon=True).start()
    try:
        yield Shared(
            hub=hub,
            pool=pool,
            usage=usage,
            rounds=rounds,
            telemetry=telemetry,
            checkpoint=checkpoint,
            unguarded=lambda: guard.problem if use_firewall else SWITCHED_OFF,
        )
    finally:
        ending.set()
        usage.stop()
        telemetry.stop()
        for one in rounds:
            one.stop()
        hub.stop()


def end_event() -> threading.Event:
    """Set by SIGTERM or SIGINT."""
    ending = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        say(_log, "signal", number=signal.Signals(number).name)
        ending.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return ending


def _nothing() -> None:
    """For an agent without a firewall."""
