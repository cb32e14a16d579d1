"""Agents and the network between them and the marketplace, on which messages are late, lost, doubled and overtaken."""

from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from agent.protocol import PROTOCOL_VERSION, GpuFacts, Inventory, ObservedTask, SyncReply, SyncRequest
from hosting.selectors import desired_state
from hosting.services.reports import report_receive
from marketplace.models import User
from tests.simulation.box import Box


@dataclass(frozen=True)
class Answer:
    """The reply to request ``seq`` of a session, on its way."""

    session_id: str
    seq: int
    reply: SyncReply
    inventory: Inventory | None


@dataclass
class Agent:
    """The part that talks, as agent/sync.py does; ``box`` is the part that works."""

    machine_id: int
    host: User
    box: Box
    inventory: Inventory
    began: datetime
    session: int = 1
    seq: int = 0
    generation: int = -1
    applied_at_seq: int = 0
    silent: bool = False
    ages_off_seconds: float = 0.0
    """A clock that is wrong: every age is told wrong by so much."""
    told_inventory: Inventory | None = None
    requests: list[SyncRequest] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.all_gpus: list[GpuFacts] = self.inventory.gpus

    @property
    def session_id(self) -> str:
        """Of the agent's present life."""
        return f"{self.machine_id}-{self.session}"

    def request(self, now: datetime) -> SyncRequest:
        """What the agent would say now."""
        self.box.advance(now)
        self.seq += 1
        return SyncRequest(
            protocol=PROTOCOL_VERSION,
            agent_version="simulated",
            boot_id=f"box-{self.machine_id}",
            session_id=self.session_id,
            session_started_age_seconds=(now - self.began).total_seconds(),
            seq=self.seq,
            known_generation=self.generation,
            hold_seconds=0.0,
            tasks=[_aged(task, self.ages_off_seconds) for task in self.box.observed(now)],
            inventory=self.inventory if self.inventory != self.told_inventory else None,
            engine_error="The engine is away." if self.box.engine_away else None,
        )

    def deliver(self, request: SyncRequest, now: datetime) -> None:
        """The marketplace takes in the request and answers."""
        report_receive(machine_id=self.machine_id, request=request, remote_address="198.51.100.1", now=now)
        reply = desired_state(self.machine_id)
        self.answers.append(Answer(request.session_id, request.seq, reply, request.inventory))

    def apply(self, answer: Answer, now: datetime) -> None:
        """Take in an answer, unless it is to an earlier life or a newer one has overtaken it."""
        if answer.session_id != self.session_id:
            return
        self.box.advance(now)
        if answer.reply.generation < self.generation and answer.seq <= self.applied_at_seq:
            return
        if answer.inventory is not None:
            self.told_inventory = answer.inventory
        self.generation = answer.reply.generation
        self.applied_at_seq = self.seq
        if not self.box.engine_away:
            self.box.wish(answer.reply.tasks, now)
        else:
            self.generation = -1  # nothing can be done about it now: ask for it again

    def sync(self, now: datetime) -> None:
        """One exchange on a good day."""
        self.deliver(self.request(now), now)
        self.apply(self.answers.pop(), now)

    def reborn(self, now: datetime) -> None:
        """The agent's process begins anew; what it had sent is still under way."""
        self.session += 1
        self.seq, self.generation, self.applied_at_seq = 0, -1, 0
        self.told_inventory = None
        self.began = now


def _aged(task: ObservedTask, seconds: float) -> ObservedTask:
    return replace(task, age_seconds=task.age_seconds + seconds) if seconds else task
