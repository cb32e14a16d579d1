"""Tells the site's webhooks of events: at least once, in no order that anyone should rely on."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import requests

from billing.sandbox.store import Object, Store

TIMEOUT_SECONDS = 10
IDLE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60
TRIES = 30
FATES = ("deliver", "lose", "double", "hold")

_NEXT = """
SELECT id, hook, event_id, attempts FROM deliveries
WHERE state = 'due' AND next_at <= ? AND hook IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT 1
"""

Sign = Callable[[str, str, int], dict[str, str]]


@dataclass(frozen=True)
class Hook:
    """Where one provider's events go, and how they are signed: ``sign(secret, body, now)`` gives the headers."""

    name: str
    url: str
    secret: str
    sign: Sign


@dataclass(frozen=True)
class Parcel:
    """A delivery that is due."""

    delivery_id: int
    hook: str
    event: Object
    attempts: int


def enqueue(store: Store, hook: str, event_id: str, now: float) -> None:
    """Have the event delivered, or whatever was planned for the next one instead. In the caller's transaction."""
    plan = store.note("fates", [])
    fate = plan.pop(0) if plan else "deliver"
    store.note_set("fates", plan)
    state = {"lose": "lost", "hold": "held"}.get(fate, "due")
    for _ in range(2 if fate == "double" else 1):
        values = [hook, event_id, state, now]
        store.execute("INSERT INTO deliveries (hook, event_id, state, next_at) VALUES (?, ?, ?, ?)", values)


def release(store: Store, *, newest_first: bool) -> int:
    """Let held deliveries go, in the order given; returns how many."""
    query = "SELECT id, hook, event_id, next_at FROM deliveries WHERE state = 'held' ORDER BY id"
    held = store.execute(query, [])
    if newest_first:
        held.reverse()
    for delivery_id, *values in held:
        store.execute("DELETE FROM deliveries WHERE id = ?", [delivery_id])
        store.execute("INSERT INTO deliveries (hook, event_id, state, next_at) VALUES (?, ?, 'due', ?)", values)
    return len(held)


def stripe_signature(secret: str, body: str, now: int) -> dict[str, str]:
    """The header that Stripe's libraries verify: https://docs.stripe.com/webhooks/signature"""
    digest = hmac.new(secret.encode(), f"{now}.{body}".encode(), hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={now},v1={digest}"}


def body_of(event: Object) -> str:
    """The event as it is signed and sent."""
    return json.dumps(event, indent=2)


class Courier(threading.Thread):
    """Delivers what is due, one after the other, and tries again with growing pauses."""

    def __init__(self, store: Store, hooks: dict[str, Hook]) -> None:
        super().__init__(name="sandbox-webhooks", daemon=True)
        self._store = store
        self._hooks = hooks
        self._wanted = threading.Event()
        self._stopped = False

    def nudge(self) -> None:
        """Something may be due."""
        self._wanted.set()

    def stop(self) -> None:
        """End after what is being delivered."""
        self._stopped = True
        self._wanted.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Until stopped."""
        while not self._stopped:
            if not self.deliver_next():
                self._wanted.wait(IDLE_SECONDS)
                self._wanted.clear()

    def deliver_next(self) -> bool:
        """Try the delivery that is due first; False when none is."""
        parcel = self._next()
        if parcel is None:
            return False
        delivered = self._post(parcel)
        with self._store.transaction():
            if delivered:
                self._store.execute("UPDATE deliveries SET state = 'delivered' WHERE id = ?", [parcel.delivery_id])
            else:
                self._postpone(parcel)
        return True

    def _next(self) -> Parcel | None:
        names = json.dumps([name for name, hook in self._hooks.items() if hook.url])
        with self._store.transaction():
            rows = self._store.execute(_NEXT, [time.time(), names])
            if not rows:
                return None
            delivery_id, hook, event_id, attempts = rows[0]
            return Parcel(delivery_id, hook, self._store.get(event_id) or {}, attempts)

    def _post(self, parcel: Parcel) -> bool:
        hook, body = self._hooks[parcel.hook], body_of(parcel.event)
        headers = {"Content-Type": "application/json", **hook.sign(hook.secret, body, int(time.time()))}
        try:
            answer = requests.post(hook.url, body.encode(), headers=headers, timeout=TIMEOUT_SECONDS)
        except requests.RequestException:
            return False
        return answer.ok

    def _postpone(self, parcel: Parcel) -> None:
        pause = min(2**parcel.attempts, LONGEST_PAUSE_SECONDS)
        state = "due" if parcel.attempts + 1 < TRIES else "given_up"
        self._store.execute(
            "UPDATE deliveries SET attempts = attempts + 1, next_at = ?, state = ? WHERE id = ?",
            [time.time() + pause, state, parcel.delivery_id],
        )
