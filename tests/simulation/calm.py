"""The end of a story: no more faults, everything is delivered, and the world must come to rest as it should be."""

from tests.simulation.failure import must
from tests.simulation.hosts import gpu_set
from tests.simulation.machines import arrive, exchange
from tests.simulation.operations import ALL_SWEEPS
from tests.simulation.oracle import TAKES_PART, Market
from tests.simulation.rows import Rows
from tests.simulation.world import World

ROUND_SECONDS = 15
"""Often enough for the sweep that looks for silent machines to trust itself."""
STILL_ROUNDS = 7
"""Longer than it takes to find a machine silent, or than an idle job rests after it ended by itself."""
MOST_ROUNDS = 80


def calm_down(world: World) -> None:
    """Until nothing changes any more; then everything is checked strictly. Raises WrongError."""
    _end_all_faults(world)
    still, rounds, last = 0, 0, object()
    while still < STILL_ROUNDS:
        rounds += 1
        must(rounds <= MOST_ROUNDS, "the world does not come to rest:", last)
        _round(world)
        now = _signature(world.rows)
        still, last = (still + 1 if now == last else 0), now
    must(not world.rows.marked, "marks are left:", world.rows.marked)
    for agent in world.agents:
        must(agent.box.at_rest(), f"{agent.box.name} is busy")
        _check_fixpoint(world, Market(world.rows, agent.machine_id))
    _check_books(world)


def _end_all_faults(world: World) -> None:
    world.kills = world.redis.away = False
    world.note("all faults end")
    for agent in world.agents:
        agent.silent = agent.box.engine_away = agent.box.faults = False
        agent.ages_off_seconds = 0.0
        agent.answers.clear()
        world.rng.shuffle(agent.requests)
        while agent.requests:
            request = agent.requests.pop()
            arrive(world, agent, request)
            world.check()
    broken = [gpu for gpu in world.rows.gpus.values() if not gpu.usable]
    for gpu in [gpu for gpu in broken if world.rng.random() < 0.5]:
        gpu_set(world, gpu.id, healthy=True)
        world.check()


def _round(world: World) -> None:
    world.clock.advance(ROUND_SECONDS)
    for agent in world.agents:
        exchange(world, agent)
        world.check()
    for sweep in ALL_SWEEPS:
        sweep(world)
        world.check()


def _signature(rows: Rows) -> object:
    tasks = [(t.id, t.desired, t.run_generation, t.phase, t.observed_run_generation) for t in rows.tasks.values()]
    instances = [(one.id, one.state, one.price) for one in rows.instances.values()]
    machines = [(machine.id, machine.online) for machine in rows.machines.values()]
    return (tasks, instances, machines, sorted(rows.claims), sorted(rows.marked))


def _check_fixpoint(world: World, market: Market) -> None:
    rows, machine_id = world.rows, market.machine_id
    must(rows.able(machine_id), f"machine {machine_id} is not back")
    outcome = market.outcome()
    market.check(outcome)
    market.check_offers(outcome)
    market.check_all_sizes_offered()
    for one in market.instances:
        if one.state != "destroyed":
            disk_ends = rows.disks_end_at(one.client_id)
            must(disk_ends is None or disk_ends > world.clock.now, f"instance {one.id} is {one.state}, never paid")
        if one.state in TAKES_PART:
            at_rest = "running" if one.id in outcome.winner_ids else "scheduling" if one.bid is None else "outbid"
            must(one.state == at_rest, f"at rest instance {one.id} is {one.state}, not {at_rest}")
        if one.state in TAKES_PART:
            must(one.end_at > world.clock.now, f"instance {one.id} is {one.state} beyond its lifetime")
            ends = rows.credit_ends.get(one.client_id)
            must(ends is None or ends > world.clock.now, f"instance {one.id} is {one.state} without credit")
        must(one.state not in ("stopping", "destroying"), f"instance {one.id} is {one.state} for ever")
        must(one.state == "running" or not market.holds(one.task_id), f"{one.state} instance {one.id} holds GPUs")
    _check_idle_at_rest(rows, market)
    _check_containers(world, market)


def _check_idle_at_rest(rows: Rows, market: Market) -> None:
    job = rows.idle_jobs.get(market.machine_id)
    used = {gpu for one in market.instances for gpu in market.holds(one.task_id)}
    expected = {gpu for gpu in market.usable if gpu not in used} if job and job.active else set()
    idle = [t for t in rows.tasks.values() if t.machine_id == market.machine_id and t.kind == "idle_job"]
    runs = {gpu for task in idle if task.phase == "running" for gpu in market.holds(task.id)}
    must(runs == expected, f"idle jobs of machine {market.machine_id} run on {sorted(runs)}, not {sorted(expected)}")


def _check_containers(world: World, market: Market) -> None:
    box = world.boxes[market.machine_id]
    uuids = {gpu.id: gpu.uuid for gpu in world.rows.gpus.values()}
    claimed: dict[int, set[str]] = {}
    for gpu_id, task_id in market.holder.items():
        claimed.setdefault(task_id, set()).add(uuids[gpu_id])
    running = {task_id: set(gpus) for task_id, gpus in box.running().items()}
    must(running == claimed, f"{box.name} runs {running}, the claims are {claimed}")
    kept = {task.id for task in world.rows.tasks.values() if not task.removed}
    left = [worker.task_id for worker in box.workers.values() if worker.container and worker.task_id not in kept]
    must(not left, f"{box.name} has left-over containers of tasks {left}")


def _check_books(world: World) -> None:
    world.books.check_ledger(world.clock.now)
    world.books.check_totals(world.rows)
