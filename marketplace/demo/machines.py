"""The machines of the simulated market."""

import random
from dataclasses import dataclass

from dlperf.catalogue import gpu_models, gpu_score
from marketplace.demo.past import Past

DEMO_MACHINE = "4x RTX 3090"
FIRST_PORT = 30_000
PORTS_PER_MACHINE = 40

_FLEET = """
GTX 1080 Ti x2 Warsaw, PL | GTX 1080 Ti x8 Kyiv, UA | GTX 1070 x4 Prague, CZ | GTX 1660 Ti x1 Porto, PT
RTX 2060 x2 Hanoi, VN | RTX 2080 Ti x4 Gdansk, PL | RTX 2080 Ti x1 Lyon, FR | TITAN RTX x2 Zurich, CH
Tesla V100 SXM2 16GB x8 Ashburn, US | Tesla V100 SXM2 32GB x4 Frankfurt, DE | Tesla V100 PCIe 16GB x1 Oslo, NO
Tesla T4 x4 Dublin, IE | Tesla P40 x2 Sofia, BG | Tesla P100 PCIe 16GB x4 Montreal, CA
RTX 3060 12GB x4 Taipei, TW | RTX 3060 12GB x1 Brno, CZ | RTX 3070 x2 Madrid, ES | RTX 3080 10GB x4 Toronto, CA
RTX 3090 x2 Reykjavik, IS | RTX 3090 x4 Stockholm, SE | RTX 3090 x8 Quebec, CA | RTX 3090 x1 Austin, US
RTX A4000 x4 Vienna, AT | RTX A5000 x2 Helsinki, FI | RTX A6000 x4 Tallinn, EE | RTX A6000 x8 Salt Lake City, US
A10 x2 Singapore, SG | A40 x4 London, GB | A100 PCIe 40GB x2 Paris, FR | A100 SXM4 80GB x8 Luleå, SE
A100 SXM4 80GB x4 Amsterdam, NL | RTX 4060 Ti 16GB x1 Seoul, KR | RTX 4070 Ti x2 Osaka, JP | RTX 4080 x2 Denver, US
RTX 4090 x1 Bergen, NO | RTX 4090 x4 Dallas, US | RTX 4090 x8 Hamburg, DE | RTX 6000 Ada x4 Sydney, AU
L4 x2 Milan, IT | L40S x4 Chicago, US | RTX 5090 x4 Phoenix, US | H100 SXM5 x8 Santa Clara, US
H100 PCIe x2 Tokyo, JP | H200 SXM x8 Trondheim, NO
"""


@dataclass(frozen=True)
class FleetMachine:
    """One simulated machine: what it is, where it stands, and what its host asks for a GPU and hour."""

    name: str
    simulate: str
    geolocation: str
    ports: str
    gpu_micros_per_hour: int
    storage_micros_per_gb_month: int
    inet_micros_per_gb: int
    past: Past
    verified: bool


def fleet() -> list[FleetMachine]:
    """All machines of the market, the same every time."""
    rows = [row.strip() for line in _FLEET.strip().splitlines() for row in line.split("|")]
    return [_machine(number, row) for number, row in enumerate(rows)]


def _machine(number: int, row: str) -> FleetMachine:
    model, _, rest = row.rpartition(" x")
    count, _, place = rest.partition(" ")
    dice = random.Random(number)  # noqa: S311  # a stable spread of prices, nothing secret
    first_port = FIRST_PORT + number * PORTS_PER_MACHINE
    return FleetMachine(
        name=f"sim-{place.partition(',')[0].lower().replace(' ', '-')}-{number:02d}",
        simulate=f"{count}x {model}",
        geolocation=place,
        ports=f"{first_port}-{first_port + PORTS_PER_MACHINE - 1}",
        gpu_micros_per_hour=_price_micros(model, dice.uniform(0.8, 1.3)),
        storage_micros_per_gb_month=dice.choice([80_000, 100_000, 150_000, 200_000]),
        inet_micros_per_gb=dice.choice([0, 2_000, 5_000, 10_000, 20_000]),
        past=Past(number=number, steadiness=dice.triangular(0.86, 0.999, 0.99)),
        verified=dice.random() < 0.8,
    )


def _price_micros(model: str, mood: float) -> int:
    """About a cent an hour for each point of DLPerf, a little more for the big ones; to a tenth of a cent."""
    facts = gpu_models()[model]
    score = gpu_score(model, fp32_tflops=facts.fp32_tflops, memory_bandwidth_gbps=facts.memory_bandwidth_gbps)
    return int(8 * score.value**1.15 * mood) * 1000
