"""The set-based SQL of the auction: what placing bids and clearing many machines costs hangs on these statements.

Every function takes any number of machines and needs as many statements for all as for one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from weakref import WeakSet

from django.conf import settings
from django.db import connection

from billing.domain.money import exact_dollars
from marketplace.domain import instance_states as states
from marketplace.domain.auction import LEAST_FLOOR, Claim, Kind, Policy
from marketplace.domain.bids import BINDING, newest_bids

_PREPARE_BID = """
PREPARE spotyard_bid_place (bigint, bigint, bigint, timestamptz, bigint) AS
WITH found AS (
    SELECT i.machine_id, i.state, i.rental_type, i.bid_micros_per_hour AS bid, i.wants_running,
        GREATEST(o.gpu_micros_per_hour, l.gpu_micros_per_hour * i.num_gpus) AS most,
        $3 + (
            SELECT SUM(x.storage_micros_per_hour + CASE WHEN x.wants_running AND x.id <> $1
                THEN COALESCE(x.bid_micros_per_hour, x.gpu_micros_per_hour) ELSE 0 END)
            FROM marketplace_instance x
            WHERE x.client_id = $2 AND x.state <> 'destroyed' AND (x.state <> 'destroying' OR x.id = $1)
        )::bigint + (
            SELECT COALESCE(SUM(v.storage_micros_per_hour), 0) FROM hosting_volume v
            WHERE v.owner_id = $2 AND v.state IN ('creating', 'ready', 'failed')
        )::bigint AS together,
        COALESCE(t.spend_limit_micros_per_hour, $5) AS allowed
    FROM marketplace_instance i
    JOIN marketplace_offer o ON o.id = i.offer_id
    LEFT JOIN hosting_listing l ON l.machine_id = i.machine_id
    LEFT JOIN billing_accountterms t ON t.owner_id = $2
    WHERE i.id = $1 AND i.client_id = $2
), placed AS (
    INSERT INTO marketplace_dirtymark (machine_id, marked_at, instance_id, bid_micros_per_hour)
    SELECT machine_id, $4, $1, $3 FROM found
    WHERE rental_type = 'interruptible' AND state NOT IN ('destroying', 'destroyed') AND $3 <= most
        AND ($3 >= bid OR state NOT IN ('scheduling', 'loading'))
        AND ($3 <= bid OR NOT wants_running OR together <= allowed)
    RETURNING 1
)
SELECT state, rental_type, most, EXISTS (SELECT 1 FROM placed), bid, together FROM found
"""
_PLACE_BID = """
EXECUTE spotyard_bid_place (%s, %s, %s, %s, %s)
"""

_TAKE_MARKS = """
DELETE FROM marketplace_dirtymark WHERE machine_id = ANY(%s) RETURNING id, instance_id, bid_micros_per_hour, marked_at
"""

# The instances are read as they were before the update: a lower bid of one that starts by now is refused after all.
_TAKE_BIDS_IN = """
WITH newest AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(bids)s::bigint[], %(instants)s::timestamptz[], %(messages)s::text[])
        AS n (id, bid, at, message)
), taken AS (
    UPDATE marketplace_instance i SET bid_micros_per_hour = n.bid, bid_placed_at = n.at
    FROM newest n
    WHERE i.id = n.id AND i.state NOT IN ('destroying', 'destroyed') AND i.bid_micros_per_hour <> n.bid
        AND (n.bid > i.bid_micros_per_hour OR i.state NOT IN ('scheduling', 'loading'))
    RETURNING i.id
)
INSERT INTO marketplace_instanceevent (instance_id, at, kind, from_state, to_state, actor_id, reason, message)
SELECT i.id, n.at, CASE WHEN t.id IS NULL THEN 'bid_refused' ELSE 'bid' END, '', '', i.client_id,
    CASE WHEN t.id IS NULL THEN 'bid_binding' ELSE 'bid' END, CASE WHEN t.id IS NULL THEN %(binding)s ELSE n.message END
FROM newest n JOIN marketplace_instance i ON i.id = n.id LEFT JOIN taken t ON t.id = n.id
WHERE t.id IS NOT NULL OR (n.bid < i.bid_micros_per_hour AND i.state IN ('scheduling', 'loading'))
ORDER BY i.id
"""

_BIDS_ON_THEIR_WAY = """
SELECT DISTINCT ON (instance_id) instance_id, bid_micros_per_hour FROM marketplace_dirtymark
WHERE machine_id = ANY(%s) AND instance_id IS NOT NULL ORDER BY instance_id, id DESC
"""

_LOCK = """
SELECT id FROM hosting_machine WHERE id = ANY(%s) ORDER BY id FOR UPDATE SKIP LOCKED
"""

_MACHINES = """
SELECT m.id, m.online AND m.engine_error = '' AND m.removed_at IS NULL AND m.suspended_at IS NULL,
    GREATEST(
        (SELECT l.min_bid_micros_per_gpu_hour FROM hosting_listing l WHERE l.machine_id = m.id),
        (SELECT j.price_micros_per_gpu_hour FROM hosting_idlejob j WHERE j.machine_id = m.id AND j.active),
        %s
    ),
    EXISTS (SELECT 1 FROM hosting_idlejob j WHERE j.machine_id = m.id),
    EXISTS (SELECT 1 FROM hosting_measurement x WHERE x.machine_id = m.id AND x.state IN ('waiting', 'running'))
FROM hosting_machine m WHERE m.id = ANY(%s)
"""

_GPUS = """
SELECT machine_id, id FROM hosting_gpu
WHERE machine_id = ANY(%s) AND present AND unhealthy_reason = ''
ORDER BY machine_id, index
"""

_HELD = """
SELECT g.machine_id, c.gpu_id, c.task_id, t.kind
FROM hosting_gpu g
JOIN hosting_gpuclaim c ON c.gpu_id = g.id AND c.released_at IS NULL
JOIN hosting_task t ON t.id = c.task_id
WHERE g.machine_id = ANY(%s)
"""

_CONTRACTS = """
SELECT machine_id, id, task_id, client_id, state, num_gpus, gpu_micros_per_hour, bid_micros_per_hour,
    bid_placed_at, waiting_since, created_at
FROM marketplace_instance
WHERE machine_id = ANY(%s) AND state IN ('scheduling', 'loading', 'running', 'outbid')
ORDER BY machine_id, id
"""

GIVES_WAY = ("idle_job", "benchmark", "challenge")
"""Kinds of tasks that leave their GPUs at once to whoever is to have them."""

_BEFORE = """
SELECT t.id, ARRAY(
    SELECT c.gpu_id FROM hosting_gpuclaim c WHERE c.task_id = t.id ORDER BY c.claimed_at DESC, c.id DESC LIMIT t.count
)
FROM unnest(%s::bigint[], %s::integer[]) AS t (id, count)
"""

_STORE_PRICES = """
UPDATE marketplace_instance i SET gpu_micros_per_hour = p.price
FROM unnest(%s::bigint[], %s::bigint[]) AS p (id, price)
WHERE i.id = p.id
"""

_STORE_QUOTES = """
WITH quoted AS (
    SELECT * FROM unnest(%s::bigint[], %s::integer[], %s::bigint[]) AS q (machine_id, num_gpus, least)
), stored AS (
    UPDATE marketplace_offer o SET min_bid_micros_per_hour = q.least
    FROM quoted q
    WHERE o.machine_id = q.machine_id AND o.num_gpus = q.num_gpus AND o.retired_at IS NULL
        AND o.rentable AND q.least IS NOT NULL AND o.min_bid_micros_per_hour IS DISTINCT FROM q.least
)
SELECT DISTINCT o.machine_id
FROM marketplace_offer o JOIN quoted q ON o.machine_id = q.machine_id AND o.num_gpus = q.num_gpus
WHERE o.retired_at IS NULL AND o.rentable <> (q.least IS NOT NULL) AND (o.rentable OR o.disk_space_gb > 0)
"""

_bid_prepared_on: WeakSet[Any] = WeakSet()
"""Connections that know the statement: it takes longer to plan than to execute. A new connection is not among them."""


@dataclass(frozen=True, slots=True)
class PlacedBid:
    """What became of a bid: ``placed`` unless it was refused."""

    state: str
    is_interruptible: bool
    most_micros_per_hour: int
    placed: bool
    before_micros_per_hour: int | None
    """None on demand."""
    together_micros_per_hour: int
    """What the client's instances cost an hour with this bid, once all that should run do."""


@dataclass(frozen=True, slots=True)
class Contract:
    """An instance that takes part in the auction, or will when its machine is back.

    ``price_in_force`` in micro-dollars per hour; ``held`` are the GPUs its task claims, running or still ending.
    """

    claim: Claim
    task_id: int
    client_id: int
    state: str
    price_in_force: int
    held: frozenset[int]

    @property
    def waits(self) -> bool:
        """Whether it has no GPUs of its own to run on now."""
        return self.state in (states.SCHEDULING, states.OUTBID)


@dataclass(slots=True)
class MarketFacts:
    """All that the auction of one machine depends on.

    ``able``: the machine can be reached and works. ``has_measurement``: one runs or waits to. ``ending``: GPUs held by
    containers told to leave; ``idle``: by the idle job or a measurement, which give way at once.
    """

    machine_id: int
    able: bool
    policy: Policy
    has_idle_job: bool
    has_measurement: bool
    gpus: list[int] = field(default_factory=list)
    contracts: list[Contract] = field(default_factory=list)
    ending: set[int] = field(default_factory=set)
    idle: set[int] = field(default_factory=set)

    @property
    def claims(self) -> list[Claim]:
        """What the contracts ask of the auction."""
        return [contract.claim for contract in self.contracts]


def bid_place(
    *, instance_id: int, client_id: int, price_micros: int, spend_limit_micros: int, now: datetime
) -> PlacedBid | None:
    """Leave a bid for the next clearing of its machine: one statement that adds one row and waits for nobody.

    ``price_micros`` is per hour for all GPUs. None when the client has no such instance. A price above the on-demand
    price is refused; so is a lower one while it starts, because others may have had to leave for it, and a higher one
    with which all that the client rents would cost more than ``spend_limit_micros`` an hour, or than what was agreed.
    """
    with connection.cursor() as cursor:
        if connection.connection not in _bid_prepared_on:
            cursor.execute(_PREPARE_BID)
            _bid_prepared_on.add(connection.connection)
        cursor.execute(_PLACE_BID, [instance_id, client_id, price_micros, now, spend_limit_micros])
        row = cursor.fetchone()
    return None if row is None else PlacedBid(row[0], row[1] == "interruptible", *row[2:])


def bids_on_their_way(machine_ids: Collection[int]) -> dict[int, int]:
    """By instance id, the newest bids on these machines that no clearing has taken in yet.

    Micro-dollars per hour for all GPUs of the instance.
    """
    return dict(_rows(_BIDS_ON_THEIR_WAY, [list(machine_ids)]))


def machine_mark(machine_id: int, now: datetime) -> None:
    """Have the machine cleared once this transaction has committed."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO marketplace_dirtymark (machine_id, marked_at) VALUES (%s, %s)", [machine_id, now])


def dirty_machines(limit: int, after: int = 0) -> list[int]:
    """Ids of marked machines beyond ``after``, in order."""
    query = "SELECT DISTINCT machine_id FROM marketplace_dirtymark WHERE machine_id > %s ORDER BY machine_id LIMIT %s"
    return [machine_id for (machine_id,) in _rows(query, [after, limit])]


def machines_lock(machine_ids: Collection[int]) -> list[int]:
    """Lock those of the machines that are nobody else's now, in the one order; returns them."""
    return [machine_id for (machine_id,) in _rows(_LOCK, [list(machine_ids)])]


def marks_take(machine_ids: Collection[int]) -> None:
    """Delete the marks that can be seen, and take in the bids among them.

    The machines are locked, and their claims are read only afterwards.
    """
    newest = newest_bids(_rows(_TAKE_MARKS, [list(machine_ids)]))
    if not newest:
        return
    columns: dict[str, Any] = {
        "ids": [one.instance_id for one in newest],
        "bids": [one.micros_per_hour for one in newest],
        "instants": [one.placed_at for one in newest],
        "messages": [f"Bid changed to ${exact_dollars(one.micros_per_hour)} per hour." for one in newest],
        "binding": BINDING,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_BIDS_IN, columns)


def market_facts(machine_ids: Collection[int]) -> list[MarketFacts]:
    """The facts of these locked machines, in the order of their ids."""
    ids = list(machine_ids)
    increment_bps = settings.BID_INCREMENT_BPS
    facts = {
        machine_id: MarketFacts(machine_id, able, Policy(increment_bps=increment_bps, floor=floor), *has)
        for machine_id, able, floor, *has in _rows(_MACHINES, [LEAST_FLOOR, ids])
    }
    for machine_id, gpu_id in _rows(_GPUS, [ids]):
        facts[machine_id].gpus.append(gpu_id)
    held: dict[int, set[int]] = {}
    holders = _rows(_HELD, [ids])
    for _, gpu_id, task_id, _ in holders:
        held.setdefault(task_id, set()).add(gpu_id)
    staying: set[int] = set()
    for machine_id, *columns in _rows(_CONTRACTS, [ids]):
        contract = _contract(held, *columns)
        facts[machine_id].contracts.append(contract)
        if contract.claim.holds:
            staying.add(contract.task_id)
    for machine_id, gpu_id, task_id, kind in holders:
        if kind in GIVES_WAY:
            facts[machine_id].idle.add(gpu_id)
        elif task_id not in staying:
            facts[machine_id].ending.add(gpu_id)
    return [facts[machine_id] for machine_id in sorted(facts)]


def _contract(
    held: Mapping[int, set[int]],
    instance_id: int,
    task_id: int,
    client_id: int,
    state: str,
    num_gpus: int,
    price_in_force: int,
    bid: int | None,
    bid_placed_at: datetime | None,
    waiting_since: datetime | None,
    created_at: datetime,
) -> Contract:
    gpus = frozenset(held.get(task_id, ()))
    runs = state in (states.LOADING, states.RUNNING)
    claim = Claim(
        claim_id=instance_id,
        kind=Kind.ON_DEMAND if bid is None else Kind.BID,
        num_gpus=num_gpus,
        placed_at=bid_placed_at or waiting_since or created_at,
        price=bid or 0,
        holds=gpus if runs else frozenset(),
    )
    return Contract(claim, task_id, client_id, state, price_in_force, gpus)


def gpus_before(contracts: Iterable[Contract]) -> dict[int, frozenset[int]]:
    """By instance id, the GPUs each ran on last."""
    known = {contract.task_id: contract.claim for contract in contracts}
    if not known:
        return {}
    rows = _rows(_BEFORE, [list(known), [claim.num_gpus for claim in known.values()]])
    return {known[task_id].claim_id: frozenset(gpus) for task_id, gpus in rows}


def prices_store(prices: Mapping[int, int]) -> None:
    """Put the bids in force: micro-dollars per hour by instance id."""
    with connection.cursor() as cursor:
        cursor.execute(_STORE_PRICES, [list(prices), list(prices.values())])


def quotes_store(quotes: Mapping[int, Mapping[int, int | None]]) -> list[int]:
    """Write the quotes of each machine, by GPU count, to its live offers.

    Returns the machines where what can be rented differs from what the offers say: those need new offers.
    """
    rows = [(machine_id, size, least) for machine_id, by_size in quotes.items() for size, least in by_size.items()]
    columns = [[row[n] for row in rows] for n in range(3)]
    return [machine_id for (machine_id,) in _rows(_STORE_QUOTES, columns)]


def _rows(query: str, parameters: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())
