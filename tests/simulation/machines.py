"""What agents, their machines and the network do."""

from msgspec.structs import replace

from agent.protocol import SyncRequest
from hosting.gateways import presence
from tests.simulation.agents import Agent
from tests.simulation.operations import sweep_offline
from tests.simulation.world import World

SLOW_MESSAGES = 6


def _agent(world: World) -> Agent:
    return world.rng.choice(world.agents)


def sync(world: World) -> None:
    """One exchange on a good day; a silent machine's messages go nowhere."""
    agent = _agent(world)
    if agent.silent:
        agent.box.advance(world.clock.now)
        return
    exchange(world, agent)


def exchange(world: World, agent: Agent) -> None:
    """One request, taken in and answered at once."""
    now = world.clock.now
    request = agent.request(now)
    told = [(task.task_id, task.phase, task.run_generation) for task in request.tasks]
    there = len(agent.answers)
    _deliver(world, agent, request, f"agent {agent.session_id} #{request.seq} says {told} and is answered")
    if len(agent.answers) > there:
        agent.apply(agent.answers.pop(), now)


def _deliver(world: World, agent: Agent, request: SyncRequest, what: str) -> None:
    heard = None if world.redis.away else presence.last_seen(agent.machine_id)
    world.books.heard = {} if heard is None else {agent.machine_id: heard}
    world.serve(what, lambda: agent.deliver(request, world.clock.now))


def send(world: World) -> None:
    """A request that takes its time."""
    agent = _agent(world)
    if len(agent.requests) < SLOW_MESSAGES:
        agent.requests.append(agent.request(world.clock.now))
        world.note(f"agent {agent.session_id} sends #{agent.seq}")


def some_arrive(world: World) -> None:
    """One of the requests under way, in any order, arrives, and perhaps once more later."""
    agent = _agent(world)
    if agent.silent or not agent.requests:
        return
    request = world.rng.choice(agent.requests)
    if world.rng.random() < 0.8:
        agent.requests.remove(request)
    arrive(world, agent, request)


def arrive(world: World, agent: Agent, request: SyncRequest) -> None:
    """The marketplace gets the request now."""
    _deliver(world, agent, request, f"#{request.seq} of {request.session_id} arrives")


def lose(world: World) -> None:
    """A message under way is lost."""
    agent = _agent(world)
    under_way = world.rng.choice((agent.requests, agent.answers))
    if under_way:
        under_way.pop(world.rng.randrange(len(under_way)))
        world.note(f"a message of {agent.session_id} is lost")


def hear(world: World) -> None:
    """One of the answers under way reaches the agent, in any order."""
    agent = _agent(world)
    if agent.silent or not agent.answers:
        return
    answer = world.rng.choice(agent.answers)
    if world.rng.random() < 0.8:
        agent.answers.remove(answer)
    agent.apply(answer, world.clock.now)
    world.note(f"{agent.session_id} hears answer {answer.seq} of {answer.session_id}: {answer.reply.generation}")


def work(world: World) -> None:
    """The machine goes on by itself."""
    _agent(world).box.advance(world.clock.now)


def container_exits(world: World) -> None:
    """A command ends by itself."""
    agent = _agent(world)
    running = sorted(agent.box.running())
    if running:
        task_id = world.rng.choice(running)
        world.note(f"{agent.box.name}: task {task_id} ends by itself")
        agent.box.exit(task_id, world.clock.now)


def container_is_lost(world: World) -> None:
    """Somebody deletes a container on the machine."""
    agent = _agent(world)
    there = sorted(worker.task_id for worker in agent.box.workers.values() if worker.container)
    if there and world.rng.random() < 0.3:
        task_id = world.rng.choice(there)
        world.note(f"{agent.box.name}: the container of task {task_id} is deleted")
        agent.box.lose(task_id, world.clock.now)


def agent_crashes(world: World) -> None:
    """The agent's process dies and begins anew; containers go on."""
    agent = _agent(world)
    agent.box.advance(world.clock.now)
    agent.box.crash(world.clock.now)
    agent.reborn(world.clock.now)
    world.note(f"{agent.box.name}: its agent begins session {agent.session}")


def machine_reboots(world: World) -> None:
    """All containers end with the engine."""
    agent = _agent(world)
    agent.box.advance(world.clock.now)
    agent.box.reboot(world.clock.now)
    agent.reborn(world.clock.now)
    world.note(f"{agent.box.name} reboots, session {agent.session}")


def silence_or_return(world: World) -> None:
    """The machine's line is cut, or back."""
    agent = _agent(world)
    agent.silent = not agent.silent and world.rng.random() < 0.5
    world.note(f"{agent.box.name} silent: {agent.silent}")


def engine_comes_or_goes(world: World) -> None:
    """The container engine can't be used for a while: nothing begins or ends."""
    agent = _agent(world)
    agent.box.advance(world.clock.now)
    agent.box.engine_away = not agent.box.engine_away and world.rng.random() < 0.3
    world.note(f"{agent.box.name} engine away: {agent.box.engine_away}")


def clock_goes_wrong(world: World) -> None:
    """The host's clock jumps, so that what it tells of ages is wrong; or it is set right."""
    agent = _agent(world)
    agent.ages_off_seconds = world.rng.choice((0.0, 0.0, -30.0, 5.0, 4_000.0))
    world.note(f"{agent.box.name} tells ages wrong by {agent.ages_off_seconds} s")


def gpu_falls_out_or_returns(world: World) -> None:
    """The machine's next inventory has one GPU less, or all again."""
    agent = _agent(world)
    all_gpus = agent.all_gpus
    missing = len(agent.inventory.gpus) < len(all_gpus)
    fallen = world.rng.choice(all_gpus)
    left = all_gpus if missing else [gpu for gpu in all_gpus if gpu is not fallen]
    if left:
        agent.inventory = replace(agent.inventory, gpus=left)
        world.note(f"{agent.box.name} has {len(left)} of {len(all_gpus)} GPUs")


def a_minute_passes(world: World) -> None:
    """Everybody who can speaks, and the sweeper looks for those who can't."""
    for _ in range(world.rng.choice((2, 5, 6))):
        world.clock.advance(14)
        for agent in world.agents:
            if agent.silent:
                agent.box.advance(world.clock.now)
            else:
                exchange(world, agent)
                world.check()
        sweep_offline(world)
        world.check()
