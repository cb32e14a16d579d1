"""Addresses and lines of guests' own networks, without an engine."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.guest_networks import bridge_of
from agent.engine.lines import Line, bucket, line_of
from agent.engine.subnets import MOST_TRIES, PREFIX, RANGES, candidates, free_range, host_networks

NAMES = st.text(alphabet="spotyard-0123456789abcdef", min_size=1, max_size=60)
ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
vpn0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
down0\t0000560A\t00000000\t0000\t0\t0\t0\t0000FFFF\t0\t0\t0
spotyard1234567\t0000560A\t00000000\t0001\t0\t0\t0\tF8FFFFFF\t0\t0\t0
"""


def test_the_hosts_own_networks_are_stepped_around() -> None:
    taken = host_networks(ROUTES, "spotyard")
    assert taken == [IPv4Network("192.168.2.0/24"), IPv4Network("10.213.0.0/16")]
    assert free_range(taken) == IPv4Network("10.86.0.0/16")
    assert free_range([]) == RANGES[0]
    assert free_range([IPv4Network("0.0.0.0/1"), IPv4Network("128.0.0.0/1")]) == RANGES[0]


@given(NAMES, st.sampled_from(RANGES))
def test_candidates_are_many_and_always_the_same(name: str, within: IPv4Network) -> None:
    found = list(candidates(name, within))
    assert found == list(candidates(name, within))
    assert len(set(found)) == len(found) == MOST_TRIES
    assert all(subnet.subnet_of(within) and subnet.prefixlen == PREFIX for subnet in found)


@given(NAMES)
def test_bridges_have_names_that_the_kernel_takes_and_the_firewall_knows(name: str) -> None:
    bridge = bridge_of(name)
    assert len(bridge) == 15
    assert bridge.startswith("spotyard")


def test_guests_rarely_share_a_bridges_name() -> None:
    names = [f"spotyard-7-{number}-0123abcd" for number in range(2000)]
    assert len({bridge_of(name) for name in names}) == len(names)


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_a_line_is_read_as_it_was_noted(down: int, up: int) -> None:
    line = Line(down, up)
    assert line_of(line.spelled()) == line


@pytest.mark.parametrize("text", ["", "fast", "1/", "/1", "1/2/3", "-1/2"])
def test_a_note_that_is_none_limits_nothing(text: str) -> None:
    assert line_of(text) == Line()


@pytest.mark.parametrize(("kbit", "burst"), [(1000, 65536), (1_000_000, 1_250_000)])
def test_the_burst_is_a_hundredth_of_a_second_or_a_packet(kbit: int, burst: int) -> None:
    assert bucket(kbit) == ["tbf", "rate", f"{kbit}kbit", "burst", str(burst), "latency", "50ms"]
