"""When a GPU is not fit to be rented, and when it is again: the rules alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosting.domain import gpu_health as rules
from hosting.domain.gpu_health import Condition, Seen, judged, reason, remedy

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
WELL = Seen(boot_id="b1", temperature_c=70, limit_c=93, memory_mb=24576, pcie_lanes=16, ecc_uncorrected=0)
LOOK = timedelta(seconds=15)


def look(condition: Condition, seen: Seen, start: datetime, seconds: float) -> tuple[Condition, datetime]:
    """Looks every 15 seconds for so long; the condition then."""
    now = start
    while now <= start + timedelta(seconds=seconds):
        condition = judged(condition, seen, now)
        now += LOOK
    return condition, now


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        ({"lost": True}, rules.LOST, "fell off the PCIe bus"),
        ({"xids": (79,)}, rules.XID, "Xid 79, the GPU fell off the bus"),
        ({"xids": (13, 48)}, rules.XID, "Xid 48, a double-bit memory error"),
        ({"ecc_uncorrected": 3}, rules.MEMORY_ERRORS, "3 since the driver was loaded"),
        ({"memory_mb": 12288}, rules.CHANGED, "12288 MB of memory, then 24576 MB"),
        ({"pcie_lanes": 4}, rules.CHANGED, "4 PCIe lanes, then 16"),
    ],
)
def test_what_counts_at_once(wrong: dict[str, object], code: str, words: str) -> None:
    after = judged(judged(Condition(), WELL, T0), replace(WELL, **wrong), T0 + LOOK)  # type: ignore[arg-type]  # mixed by design
    assert (after.fault, after.since) == (code, T0 + LOOK)
    assert words in reason(after)
    assert reason(after).endswith(".")
    assert remedy(code)


@pytest.mark.parametrize("xid", [8, 13, 31, 32, 43, 45, 68, 69, 109])
def test_errors_of_programs_say_nothing_about_the_gpu(xid: int) -> None:
    assert judged(Condition(), replace(WELL, xids=(xid,)), T0).fault == ""


@pytest.mark.parametrize("xid", sorted(rules.HARDWARE_XIDS))
def test_errors_of_the_hardware_last_until_the_machine_boots(xid: int) -> None:
    ill, now = look(Condition(), replace(WELL, xids=(xid,)), T0, 0)
    still, now = look(ill, WELL, now, 3600)
    assert still.fault == rules.XID
    after, _ = look(still, replace(WELL, boot_id="b2"), now, 60)
    assert after.fault == ""


def test_an_error_that_comes_again_after_the_boot_keeps_the_gpu_away() -> None:
    ill, now = look(Condition(), replace(WELL, xids=(95,)), T0, 0)
    again, _ = look(ill, replace(WELL, boot_id="b2", xids=(95,)), now, 600)
    assert again.fault == rules.XID


@pytest.mark.parametrize(
    ("wrong", "code", "holds"),
    [
        ({"temperature_c": 93}, rules.HOT, 120),
        ({"listed": False}, rules.MISSING, 60),
        ({"driver_answers": False, "listed": False}, rules.DRIVER, 60),
    ],
)
def test_what_has_to_last(wrong: dict[str, object], code: str, holds: int) -> None:
    seen = replace(WELL, **wrong)  # type: ignore[arg-type]  # mixed by design
    early, _ = look(Condition(), seen, T0, holds - 15)
    assert early.fault == ""
    late, _ = look(Condition(), seen, T0, holds)
    assert late.fault == code


def test_a_moment_of_heat_is_forgotten() -> None:
    hot = replace(WELL, temperature_c=95)
    warm, now = look(Condition(), hot, T0, 90)
    assert warm.suspect == rules.HOT
    cooled = judged(warm, WELL, now)
    assert (cooled.suspect, cooled.looked_at) == ("", None)
    again, _ = look(cooled, hot, now + LOOK, 105)
    assert again.fault == ""


def test_two_looks_far_apart_are_no_lasting_heat() -> None:
    hot = replace(WELL, temperature_c=95)
    first = judged(Condition(), hot, T0)
    assert judged(first, hot, T0 + timedelta(hours=1)).fault == ""


def test_a_gpu_is_back_only_after_ten_cool_minutes() -> None:
    hot, now = look(Condition(), replace(WELL, temperature_c=95), T0, 120)
    lukewarm, now = look(hot, replace(WELL, temperature_c=84), now, 1200)
    assert lukewarm.fault == rules.HOT
    cool = replace(WELL, temperature_c=82)
    cooling, _ = look(lukewarm, cool, now, 585)
    assert cooling.fault == rules.HOT
    cooled, _ = look(lukewarm, cool, now, 600)
    assert (cooled.fault, reason(cooled)) == ("", "")


def test_another_card_after_a_boot_is_taken_as_it_is() -> None:
    before = judged(Condition(), WELL, T0)
    after = judged(before, replace(WELL, boot_id="b2", memory_mb=8192, pcie_lanes=4), T0 + LOOK)
    assert (after.fault, after.vram_mb, after.pcie_lanes) == ("", 8192, 4)


def test_sensors_that_are_missing_are_no_fault() -> None:
    blind = Seen(boot_id="b1", limit_c=93)
    after, _ = look(judged(Condition(), WELL, T0), blind, T0 + LOOK, 3600)
    assert after.fault == ""


seen = st.builds(
    Seen,
    boot_id=st.sampled_from(["b1", "b2"]),
    driver_answers=st.booleans(),
    listed=st.booleans(),
    lost=st.booleans(),
    temperature_c=st.none() | st.integers(20, 110),
    limit_c=st.just(93),
    memory_mb=st.none() | st.sampled_from([24576, 12288]),
    pcie_lanes=st.none() | st.sampled_from([16, 8]),
    ecc_uncorrected=st.none() | st.integers(0, 2),
    xids=st.lists(st.sampled_from([13, 31, 48, 79]), max_size=2).map(tuple),
)


@given(st.lists(st.tuples(seen, st.integers(1, 400)), max_size=40))
def test_whatever_happened_a_gpu_that_is_well_long_enough_after_a_boot_is_back(looks: list[tuple[Seen, int]]) -> None:
    condition, now = Condition(), T0
    for one, seconds in looks:
        now += timedelta(seconds=seconds)
        condition = judged(condition, one, now)
        assert bool(condition.fault) == bool(reason(condition)) == (condition.since is not None)
        assert judged(condition, one, now) == condition  # the same look twice says nothing new
    after, _ = look(condition, replace(WELL, boot_id="b3"), now + LOOK, 700)
    assert (after.fault, after.suspect, after.well_since) == ("", "", None)
