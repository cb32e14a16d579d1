"""One call of the API: what a handler is given, and the table of handlers."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from billing.sandbox import webhooks
from billing.sandbox.store import Object, Store
from billing.sandbox.stripe_api.errors import invalid, missing

API_VERSION = "2026-10-28.endive"
DEFAULT_PAGE = 10
LARGEST_PAGE = 100
_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


@dataclass(frozen=True)
class Call:
    """A request whose parameters are checked, inside the transaction that keeps what it does."""

    store: Store
    params: dict[str, Any]
    now: int
    """Seconds since 1970."""
    base_url: str
    """Where the sandbox answers, for the addresses of its pages."""
    account: str | None = None
    """The connected account in whose name the call is made (Stripe-Account)."""
    request_id: str | None = None

    def find(self, kind: str, object_id: str, param: str = "id") -> Object:
        """The object of this kind. Raises StripeError 404."""
        found = self.store.get(object_id)
        if found is None or found["object"] != kind:
            raise missing(kind, object_id, param)
        return found

    def emit(self, event_type: str, subject: Object, account: str | None = None) -> Object:
        """Note an event about the object as it is now; it goes to the webhook after the commit."""
        event: Object = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now,
            "data": {"object": public(subject)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": self.request_id, "idempotency_key": None},
            "type": event_type,
        }
        if account is not None:
            event["account"] = account
        self.store.put(event)
        webhooks.enqueue(self.store, "stripe" if account is None else "stripe-connect", event["id"], self.now)
        return event


Handler = Callable[..., Object]


@dataclass(frozen=True)
class Route:
    """``path`` in Flask's notation; ``shape`` is the SDK's TypedDict of the parameters, None where it takes none."""

    method: str
    path: str
    shape: Any
    handler: Handler


ROUTES: list[Route] = []


def route(method: str, path: str, shape: Any) -> Callable[[Handler], Handler]:
    """Make the decorated function answer these requests; parts of the path are its named arguments."""

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(method, path, shape, handler))
        return handler

    return register


def new_id(prefix: str) -> str:
    """An id as Stripe makes them."""
    return f"{prefix}_{secrets.token_hex(12)}"


def public(found: Any) -> Any:
    """An object without what only the sandbox knows of it (names that begin with an underscore)."""
    if isinstance(found, dict):
        return {name: public(value) for name, value in found.items() if not name.startswith("_")}
    return [public(item) for item in found] if isinstance(found, list) else found


def page(call: Call, found: Iterable[Object], url: str) -> Object:
    """One page of ``found``, which is newest first, as the call asks for it."""
    params = call.params
    rows = [row for row in found if _created_fits(row, params.get("created"))]
    limit = params.get("limit", DEFAULT_PAGE)
    if not 1 <= limit <= LARGEST_PAGE:
        raise invalid("Limit must be between 1 and 100", param="limit")
    if "ending_before" in params:
        before = rows[: _index(rows, params["ending_before"], "ending_before")]
        return _list(before[-limit:], url, has_more=len(before) > limit)
    start = _index(rows, params["starting_after"], "starting_after") + 1 if "starting_after" in params else 0
    return _list(rows[start : start + limit], url, has_more=len(rows) > start + limit)


def _list(rows: list[Object], url: str, *, has_more: bool) -> Object:
    return {"object": "list", "url": url, "has_more": has_more, "data": rows}


def _index(rows: list[Object], object_id: str, param: str) -> int:
    for index, row in enumerate(rows):
        if row["id"] == object_id:
            return index
    raise missing("object", object_id, param)


def _created_fits(row: Object, created: Any) -> bool:
    if created is None:
        return True
    if isinstance(created, int):
        return bool(row["created"] == created)
    return all(_BOUNDS[name](row["created"], bound) for name, bound in created.items())


def expanded(store: Store, found: Any, paths: Iterable[str]) -> Any:
    """The answer with the objects that the call wants in place of their ids."""
    for path in paths:
        found = _expand(store, found, path.split("."), path)
    return found


def _expand(store: Store, node: Any, parts: list[str], whole: str) -> Any:
    if isinstance(node, list):
        return [_expand(store, item, parts, whole) for item in node]
    if node is None:
        return None
    if not isinstance(node, dict) or parts[0] not in node:
        raise invalid(f"This property cannot be expanded ({whole}).", param="expand")
    value = node[parts[0]]
    if isinstance(value, str):
        value = store.get(value)
        if value is None:
            raise invalid(f"This property cannot be expanded ({whole}).", param="expand")
    if len(parts) > 1:
        value = _expand(store, value, parts[1:], whole)
    return {**node, parts[0]: value}
