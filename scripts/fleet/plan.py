"""What simulated machines and clients do, drawn from a seed. Pure: no clock, no network.

The rates are those of a market that lives, not of a bad one: `Rates.quiet` times any number is busier.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

HOUR_SECONDS = 3600.0
MachineEvent = Literal["offline", "reboot", "gpu_lost", "reprice", "unlist"]
ClientEvent = Literal["rent", "bid", "stop", "start", "destroy"]

_MACHINES: Sequence[tuple[str, int, float]] = (
    # what it has, how common that is, dollars per GPU and hour
    ("1x RTX 3090", 4, 0.22),
    ("2x RTX 3090", 3, 0.22),
    ("4x RTX 3090", 2, 0.21),
    ("1x RTX 4090", 4, 0.40),
    ("4x RTX 4090", 2, 0.39),
    ("8x RTX 4090", 1, 0.38),
    ("2x RTX 3080 10GB", 3, 0.14),
    ("4x Tesla T4", 1, 0.15),
    ("2x RTX A6000", 2, 0.48),
    ("8x A100 SXM4 80GB", 1, 1.10),
    ("4x L40S", 1, 0.80),
)


@dataclass(frozen=True)
class MachinePlan:
    """One machine: what it is, and what its host asks."""

    number: int
    name: str
    simulate: str
    dollars_per_gpu_hour: float
    ports: tuple[int, int]


@dataclass(frozen=True)
class Rates:
    """How often things happen to one machine, an hour; and how likely a start fails."""

    per_hour: Mapping[MachineEvent, float]
    start_fails: float

    @classmethod
    def quiet(cls, times: float = 1.0) -> "Rates":
        """A market that lives, ``times`` as fast."""
        base: dict[MachineEvent, float] = {
            "offline": 0.3,
            "reboot": 0.1,
            "gpu_lost": 0.05,
            "reprice": 0.5,
            "unlist": 0.1,
        }
        return cls({event: rate * times for event, rate in base.items()}, start_fails=min(0.5, 0.02 * times))

    @property
    def together(self) -> float:
        """Events an hour."""
        return sum(self.per_hour.values())


@dataclass(frozen=True)
class Start:
    """How long a container takes to start, in seconds, and whether it fails after that."""

    pull: float
    create: float
    boot: float
    fails: bool


def machines(count: int, seed: int) -> list[MachinePlan]:
    """The machines of a fleet; the first ones of a larger one are the same."""
    dice = random.Random(f"{seed}/machines")  # noqa: S311 - has to be repeatable, not secret
    kinds = [kind for kind in _MACHINES for _ in range(kind[1])]
    plans = []
    for number in range(count):
        simulate, _, dollars = dice.choice(kinds)
        price = round(dollars * dice.uniform(0.8, 1.25), 3)
        plans.append(MachinePlan(number, f"drill-{seed}-{number:04d}", simulate, price, (22_000, 22_199)))
    return plans


def next_event(rates: Rates, dice: random.Random) -> tuple[float, MachineEvent] | None:
    """In how many seconds what happens to a machine next; None where nothing ever does."""
    if rates.together <= 0:
        return None
    seconds = dice.expovariate(rates.together / HOUR_SECONDS)
    events, weights = zip(*rates.per_hour.items(), strict=True)
    return seconds, dice.choices(events, weights)[0]


def away_seconds(event: MachineEvent, dice: random.Random) -> float:
    """How long a machine is gone, its GPU lost, or its listing off."""
    typical = {"offline": 150.0, "reboot": 90.0, "gpu_lost": 300.0, "unlist": 120.0}.get(event, 0.0)
    return dice.uniform(0.5, 2.0) * typical


def start(rates: Rates, dice: random.Random) -> Start:
    """Most images lie there already; some are pulled for a while."""
    pull = dice.uniform(5.0, 40.0) if dice.random() < 0.2 else 0.0
    return Start(pull, dice.uniform(0.1, 0.6), dice.uniform(0.1, 0.5), dice.random() < rates.start_fails)


def price(before: float, dice: random.Random) -> float:
    """What a host asks next, in dollars: a little more or less, and never next to nothing."""
    return round(max(0.05, before * dice.uniform(0.9, 1.1)), 3)


def client_step(states: Mapping[int, str], most: int, dice: random.Random) -> tuple[ClientEvent, int | None]:
    """What a client does next with its instances (state by number): rents while it has few, else mostly lets them run
    out one after the other."""
    if len(states) < most and (not states or dice.random() < 0.5):
        return ("bid" if dice.random() < 0.3 else "rent"), None
    number = dice.choice(sorted(states))
    if states[number] == "stopped":
        return ("start" if dice.random() < 0.5 else "destroy"), number
    return ("stop" if dice.random() < 0.3 else "destroy"), number
