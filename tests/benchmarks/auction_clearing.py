"""Clearing marked machines on a real database: in batches, one by one, some of them, all of them."""

import itertools
import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection
from django.utils import timezone

from tests.benchmarks import auction_world as world
from tests.benchmarks.figures import Comparison, slope, tell

BATCH_TARGET, INCREMENTAL_TARGET = 15.0, 10.0
SAMPLE = 300
"""Machines that the peer clears one by one; what it takes for each doesn't depend on how many there are."""
RUNNER, RIVAL = 2, 3
"""Instances of the first machine: one that runs on 1 GPU, and one that waits for two."""
_prices = itertools.cycle(range(310_000, 400_000, 1_000))
_SMALL = {"marketplace_dirtymark", "hosting_idlejob"}


def bids_change(machines: Sequence[int], *, instance: int = RUNNER, price: int | None = None) -> None:
    """A new bid for one instance of each of these machines (numbered from 0), with the mark that carries it."""
    world.execute(
        "INSERT INTO marketplace_dirtymark (machine_id, marked_at, instance_id, bid_micros_per_hour) "
        "SELECT 1 + number * %(stride)s, now(), %(instance)s + number * %(stride)s, %(price)s "
        "FROM unnest(%(numbers)s) AS number",
        {"stride": world.STRIDE, "instance": instance, "price": price or next(_prices), "numbers": list(machines)},
    )


def machines_mark(machines: Sequence[int]) -> None:
    """Have them cleared although nothing changed."""
    world.execute(
        "INSERT INTO marketplace_dirtymark (machine_id, marked_at) SELECT unnest(%(ids)s), now()",
        {"ids": [1 + number * world.STRIDE for number in machines]},
    )


def seconds_to_clear(expected: int, **options: int) -> float:
    """Seconds until nothing is marked any more."""
    from marketplace.services.clearing import dirty_clear  # noqa: PLC0415 - Django is set up by now

    began = time.perf_counter()
    cleared = dirty_clear(now=timezone.now, **options)
    taken = time.perf_counter() - began
    assert cleared == expected, f"{cleared} machines were cleared, not {expected}"
    return taken


def batches(machines: int, repeats: int) -> Comparison:
    """All machines with a changed bid each, in batches, against a sample of them one at a time: ms a machine."""
    comparison = Comparison(f"{machines} dirty machines", "ms", "peer/subject", at_least=BATCH_TARGET)
    sample = range(min(SAMPLE, machines))
    for _ in range(repeats):
        bids_change(sample)
        one_by_one = seconds_to_clear(len(sample), batch=1) / len(sample)
        bids_change(range(machines))
        world.execute("CHECKPOINT")
        together = seconds_to_clear(machines) / machines
        comparison.add(together * 1e3, one_by_one * 1e3)
    return comparison


def incremental(machines: int, repeats: int) -> Comparison:
    """1% with a changed bid each: only these marked, against all marked. Seconds for all."""
    comparison = Comparison(f"1% of {machines} machines", "s", "peer/subject", at_least=INCREMENTAL_TARGET)
    some = range(0, machines, 100)
    for _ in range(repeats):
        bids_change(some)
        subject = seconds_to_clear(len(some))
        bids_change(some)
        machines_mark(range(machines))
        world.execute("CHECKPOINT")
        comparison.add(subject, seconds_to_clear(machines))
    return comparison


def swaps(machines: int, repeats: int) -> float:
    """ms a machine where on every tenth somebody is displaced and every other has a changed bid."""
    part = machines // repeats
    costs = []
    for number in range(repeats):
        here = range(number * part, (number + 1) * part)
        bids_change(here)
        bids_change(here[::10], instance=RIVAL, price=900_000)
        costs.append(seconds_to_clear(part) / part * 1e3)
    return statistics.median(costs)


def one_machine(machines: int, count: int) -> float:
    """Median ms to clear the only machine with a changed bid."""
    dice = random.Random(machines)
    costs = []
    for number in dice.choices(range(machines), k=count):
        bids_change([number])
        costs.append(seconds_to_clear(1) * 1e3)
    return statistics.median(costs)


def large_scans(machines: int) -> list[str]:
    """Tables that grow with the market and that clearing one machine, or placing one bid, reads through."""
    found = set()
    for statement, values in _statements_of_one(machines // 2):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", values)
            plan = cursor.fetchone()[0]
        found |= {node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan"}
    return sorted(found - _SMALL)


def _statements_of_one(number: int) -> list[tuple[str, Any]]:
    from marketplace.models import Instance  # noqa: PLC0415 - Django is set up by now
    from marketplace.services.bids import bid_change  # noqa: PLC0415 - Django is set up by now

    seen: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((str(sql) if isinstance(sql, str) else sql.as_string(connection.connection), params))
        return execute(sql, params, many, context)

    instance = Instance.objects.select_related("client").get(pk=RUNNER + number * world.STRIDE)
    with connection.execute_wrapper(note):
        bid_change(instance_id=instance.pk, client=instance.client, price_micros=next(_prices), now=timezone.now())
        seconds_to_clear(1)
    plannable = ("SELECT", "UPDATE", "DELETE", "INSERT", "WITH", "EXECUTE")
    return [(sql, params) for sql, params in seen if sql.lstrip().startswith(plannable)]


def _nodes(plan: Any) -> Iterator[dict[str, Any]]:
    if isinstance(plan, str):
        plan = json.loads(plan)
    for part in plan if isinstance(plan, list) else plan.values():
        if isinstance(part, (list, dict)):
            yield from _nodes(part)
    if isinstance(plan, dict) and "Node Type" in plan:
        yield plan


def growth(sizes: Sequence[int], repeats: int) -> None:
    """The cost of clearing one dirty machine on each market, in turns, and how it grows with their size."""
    costs: dict[int, list[float]] = {machines: [] for machines in sizes}
    for _ in range(repeats):
        for machines in sizes:
            world.use_database(world.name_of(machines))
            one_machine(machines, 5)  # a new connection warms up
            costs[machines].append(one_machine(machines, 20))
    medians = [statistics.median(costs[machines]) for machines in sizes]
    for machines, cost in zip(sizes, medians, strict=True):
        tell(f"one dirty machine among {machines}: {cost:.2f} ms")
    if len(sizes) > 1:
        tell(f"growth of that with the number of machines: {slope(sizes, medians):.2f}")


def report(sizes: Sequence[int], repeats: int, large_repeats: int) -> None:
    """Everything that needs no other process, on markets of these sizes."""
    together = []
    for machines in sizes:
        began = time.perf_counter()
        world.world(machines)
        tell(f"(a market of {machines} machines, built in {time.perf_counter() - began:.0f} s)")
        comparison = batches(machines, repeats if machines < 50_000 else large_repeats)
        together.append(statistics.median(comparison.subject))
        tell(comparison)
        world.execute("ANALYZE")
        tell(
            f"tables read through to clear one machine and to place a bid: {', '.join(large_scans(machines)) or 'none'}"
        )
        if machines == 10_000:
            tell(f"the same where on 10% of the machines somebody is displaced: {swaps(machines, 3):.2f} ms a machine")
    tell(incremental(sizes[-1], large_repeats))
    if len(sizes) > 1:
        tell(f"growth of the cost of each machine with their number, in batches: {slope(sizes, together):.2f}")
    growth(sizes, repeats)
