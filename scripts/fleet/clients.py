"""Simulated clients: rent, bid, stop, start and destroy through the public API, one thing after the other."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from scripts.fleet import plan
from scripts.fleet.api import Api, ApiError
from scripts.fleet.tally import Tally

MOST_INSTANCES = 2
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
FAREWELL_SECONDS = 20.0
"""For machines to remove what was destroyed."""
THINKS_SECONDS = (2.0, 15.0)
DISK_GB = 10
CHOSEN_FROM = 20
"""Of the cheapest offers: everybody wants the same, and somebody gets it."""


class Client:
    """Lives on a thread of its own from ``start`` to ``stop``."""

    def __init__(self, number: int, api: Api, tally: Tally, seed: int, machine_ids: list[int]) -> None:
        """``machine_ids``: on which it rents; no others, because those may be real."""
        self._api = api
        self._query = {
            "verified": {"eq": "any"},
            "machine_id": {"in": machine_ids},
            "num_gpus": {"eq": 1},
            "order": [["dph_total", "asc"]],
            "limit": CHOSEN_FROM,
        }
        self._tally = tally
        self._dice = random.Random(f"{seed}/client/{number}")  # noqa: S311 - has to be repeatable, not secret
        self._label = f"drill-client-{seed}-{number}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name=self._label, daemon=True)
        self.states: dict[int, str] = {}

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin to destroy what it has, and to end."""
        self._ended.set()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join(PATIENCE_SECONDS)

    def _live(self) -> None:
        while not self._ended.wait(self._dice.uniform(*THINKS_SECONDS)):
            self._try(self._step)
        self._try(self._look)
        for number in list(self.states):
            self._try(partial(self._api.call, "DELETE", f"/instances/{number}/", {}))
        deadline = time.monotonic() + FAREWELL_SECONDS
        while self._own() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except ApiError as error:
            expected = error.code in (
                "no_such_ask",
                "no_credit",
                "spend_limit",
                "wrong_state",
                "invalid_price",
                "no_such_instance",
            )
            self._tally.count(f"refused: {error.code}" if expected else f"error: client {error.code}")

    def _step(self) -> None:
        self._look()
        what, number = plan.client_step(self.states, MOST_INSTANCES, self._dice)
        if number is None:
            self._rent(interruptible=what == "bid")
        elif what == "destroy":
            self._api.call("DELETE", f"/instances/{number}/", {})
            self._tally.count("destroy")
        else:
            self._api.call("PUT", f"/instances/{number}/", {"state": "running" if what == "start" else "stopped"})
            self._tally.count(what)

    def _look(self) -> None:
        self.states = {number: state for number, state in self._own().items() if state != "destroying"}

    def _own(self) -> dict[int, str]:
        """States of its instances by number, also of those that are on their way out; none where nobody answers."""
        try:
            rows = self._api.call("GET", "/instances/?owner=me")["instances"]
        except ApiError as error:
            self._tally.count(f"error: client {error.code}")
            return {}
        return {int(row["id"]): _state(row) for row in rows if row.get("label") == self._label}

    def _rent(self, *, interruptible: bool) -> None:
        offers = self._api.call("POST", "/bundles/", self._query)["offers"]
        if not offers:
            self._tally.count("refused: nothing on offer")
            return
        offer = self._dice.choice(offers)
        body: dict[str, Any] = {"image": "drill", "disk": DISK_GB, "label": self._label, "runtype": "ssh"}
        if interruptible:
            body["price"] = round(float(offer["min_bid"]) * 1.2, 4)
        began = time.monotonic()
        number = int(self._api.call("PUT", f"/asks/{offer['id']}/", body)["new_contract"])
        self._tally.took("rent", time.monotonic() - began)
        self._await(number, began)

    def _await(self, number: int, began: float) -> None:
        while time.monotonic() - began < PATIENCE_SECONDS and not self._ended.is_set():
            self._look()
            state = self.states.get(number, "gone")
            if state == "running":
                self._tally.took("rent to running", time.monotonic() - began)
                return
            if state in ("error", "gone", "outbid"):
                self._tally.count(f"start ended: {state}")
                return
            self._ended.wait(LOOK_SECONDS)
        self._tally.count("start took too long")


def _state(row: dict[str, Any]) -> str:
    return str(row["state"])
