"""Accidents on purpose: what is to go wrong with the next calls."""

import threading
from dataclasses import dataclass, field

KINDS = ("refuse", "lose_answer", "error", "hold")
HOLD_SECONDS = 20.0
"""Nobody is held longer, whatever was forgotten."""


@dataclass
class Fault:
    """``refuse``: the connection ends before anything happened; ``lose_answer``: it ends after all happened; ``error``:
    500 before anything happened; ``hold``: all happens once the fault is released."""

    kind: str
    path: str
    """What the path of the call begins with."""
    method: str
    times: int
    released: threading.Event = field(default_factory=threading.Event)


class Faults:
    """The accidents to come, and the calls that are held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self._held: list[Fault] = []
        self.holds_begun = threading.Semaphore(0)

    def add(self, kind: str, path: str, method: str, times: int) -> None:
        """Raises ValueError for a kind that does not exist."""
        if kind not in KINDS:
            raise ValueError(f"no such fault: {kind}")
        with self._lock:
            self._waiting.append(Fault(kind, path, method, times))

    def clear(self) -> None:
        """Nothing more is to go wrong; whoever is held goes on."""
        with self._lock:
            self._waiting.clear()
            for fault in self._held:
                fault.released.set()
            self._held.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The accident that befalls this call, if any."""
        with self._lock:
            for fault in self._waiting:
                if method == fault.method and path.startswith(fault.path):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._waiting.remove(fault)
                    return fault
        return None

    def hold(self, fault: Fault) -> None:
        """Wait until released."""
        with self._lock:
            self._held.append(fault)
        self.holds_begun.release()
        fault.released.wait(HOLD_SECONDS)
