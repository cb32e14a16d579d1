"""When a GPU is not fit to be rented, why, what its host can do about it, and when it is fit again.

Errors that the driver reports by number (Xid) fall into those of the hardware or of the driver, after which a GPU can't
be trusted until the machine has booted anew, and those that a program caused by itself, which say nothing about the
GPU: 13, 31, 43 and 45 above all. The numbers are NVIDIA's (https://docs.nvidia.com/deploy/xid-errors/).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agent.telemetry_protocol import XidSeen

HOT = "overheated"
MISSING = "missing"
LOST = "fell_off_the_bus"
DRIVER = "driver_silent"
MEMORY_ERRORS = "memory_errors"
XID = "hardware_error"
CHANGED = "hardware_changed"

HARDWARE_XIDS: Mapping[int, str] = {
    48: "a double-bit memory error",
    61: "an internal error of the GPU's controller",
    62: "a halt of the GPU's controller",
    63: "failing memory that is set aside at the next boot",
    64: "failing memory that could not be set aside",
    74: "an NVLink error",
    79: "the GPU fell off the bus",
    92: "too many memory errors",
    94: "a memory error that ended a program",
    95: "a memory error that could not be contained",
    110: "a security fault",
    119: "the GPU's system processor does not answer",
    120: "an error of the GPU's system processor",
    136: "an error of the link to the GPU",
    140: "an unrecovered memory error",
}
"""Each of these takes a GPU off the market until the machine boots."""
HOT_MARGIN_C = 10
"""So much below its limit a GPU has to come to count as cool again."""
LESS_MEMORY_SHARE = 0.97
LONGEST_GAP = timedelta(minutes=2)
"""Between looks, for what they say to count as lasting from one to the next."""


@dataclass(frozen=True)
class Rule:
    """A fault has to hold for ``holds`` before it counts, and to be gone for ``gone`` before the GPU is back.

    ``until_boot``: it can't be gone before the machine has booted anew.
    """

    sentence: str
    remedy: str
    holds: timedelta = timedelta(0)
    gone: timedelta = timedelta(minutes=1)
    until_boot: bool = False


RULES: Mapping[str, Rule] = {
    LOST: Rule(
        "The GPU does not answer any more: it fell off the PCIe bus.",
        "Switch the machine off and on. If it happens again, look at power supply, cables, riser and temperature.",
        until_boot=True,
    ),
    XID: Rule(
        "NVIDIA's driver reported a fault of the hardware",
        "Reboot the machine: the GPU comes back by itself if the error does not. "
        "If it does, have the GPU tested or replaced.",
        until_boot=True,
    ),
    MEMORY_ERRORS: Rule(
        "The GPU's memory has errors that could not be corrected",
        "Reboot the machine, or reset the GPU with nvidia-smi --gpu-reset while nothing uses it. If errors come again, "
        "the memory is failing.",
        gone=timedelta(minutes=10),
    ),
    CHANGED: Rule(
        "The GPU has less than it had when the machine booted",
        "Reboot the machine, and seat the card anew if it stays like this: what it has then is what is offered.",
        until_boot=True,
    ),
    DRIVER: Rule(
        "NVIDIA's driver does not answer.",
        "Look at nvidia-smi and the kernel's log on the machine; a reboot, or the driver installed anew, often helps.",
        holds=timedelta(minutes=1),
    ),
    MISSING: Rule(
        "The driver does not list the GPU any more.",
        "Reboot the machine. If it stays away, look at the card's power and seat.",
        holds=timedelta(minutes=1),
    ),
    HOT: Rule(
        "The GPU was too hot for two minutes",
        "Look at fans, dust and the air's way through the case, or lower the power limit with nvidia-smi -pl. "
        f"It comes back after ten minutes at {HOT_MARGIN_C} °C below its limit.",
        holds=timedelta(minutes=2),
        gone=timedelta(minutes=10),
    ),
}
"""By code, the gravest first."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a look says of one GPU. None is what can't be seen."""

    boot_id: str
    driver_answers: bool = True
    listed: bool = True
    lost: bool = False
    temperature_c: int | None = None
    limit_c: int
    memory_mb: int | None = None
    pcie_lanes: int | None = None
    ecc_uncorrected: int | None = None
    xids: tuple[int, ...] = ()
    """Since the machine booted."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What is remembered of a GPU from look to look. ``since`` and ``detail`` belong to ``fault``."""

    fault: str = ""
    detail: str = ""
    since: datetime | None = None
    fault_boot_id: str = ""
    suspect: str = ""
    suspect_since: datetime | None = None
    well_since: datetime | None = None
    looked_at: datetime | None = None
    """Only kept while something is timed."""
    boot_id: str = ""
    vram_mb: int | None = None
    pcie_lanes: int | None = None


def reason(condition: Condition) -> str:
    """A sentence for whoever sees that the GPU is not offered; empty while it is."""
    if not condition.fault:
        return ""
    sentence = RULES[condition.fault].sentence
    return sentence if sentence.endswith(".") else f"{sentence}: {condition.detail}."


def remedy(fault: str) -> str:
    """What the host can do about it."""
    return RULES[fault].remedy if fault in RULES else ""


def xid_words(seen: Iterable[XidSeen]) -> str:
    """Errors of the driver as pages say them: "Xid 31, 2 times"; with what it means where the hardware is at fault."""
    return ", ".join(
        f"Xid {error.xid}{_meaning(error.xid)}, {'once' if error.count == 1 else f'{error.count} times'}"
        for error in seen
    )


def _meaning(xid: int) -> str:
    return f" ({HARDWARE_XIDS[xid]})" if xid in HARDWARE_XIDS else ""


def judged(before: Condition, seen: Seen, now: datetime) -> Condition:
    """The condition after a look."""
    known = _with_facts(before, seen)
    found = _found(known, seen)
    if known.looked_at is not None and now - known.looked_at > LONGEST_GAP:
        known = replace(known, suspect="", suspect_since=None, well_since=None)
    after = _while_ill(known, found, seen, now) if known.fault else _while_well(known, found, seen, now)
    is_timed = bool(after.suspect) or after.well_since is not None
    return replace(after, looked_at=now if is_timed else None)


def _with_facts(before: Condition, seen: Seen) -> Condition:
    """A boot is the moment at which a card may have become another."""
    if before.boot_id != seen.boot_id:
        return replace(before, boot_id=seen.boot_id, vram_mb=seen.memory_mb, pcie_lanes=seen.pcie_lanes)
    return replace(
        before,
        vram_mb=seen.memory_mb if before.vram_mb is None else before.vram_mb,
        pcie_lanes=seen.pcie_lanes if before.pcie_lanes is None else before.pcie_lanes,
    )


def _found(known: Condition, seen: Seen) -> dict[str, str]:
    """What is wrong now, with its details, the gravest first."""
    limit_c = seen.limit_c - HOT_MARGIN_C if known.fault == HOT else seen.limit_c
    hardware = [xid for xid in seen.xids if xid in HARDWARE_XIDS]
    is_hot = seen.temperature_c is not None and seen.temperature_c >= limit_c
    checks = {
        LOST: (seen.lost, ""),
        XID: (bool(hardware), "; ".join(f"Xid {xid}, {HARDWARE_XIDS[xid]}" for xid in hardware[:2])),
        MEMORY_ERRORS: (bool(seen.ecc_uncorrected), f"{seen.ecc_uncorrected} since the driver was loaded"),
        CHANGED: _less(known, seen),
        DRIVER: (not seen.driver_answers, ""),
        MISSING: (seen.driver_answers and not seen.listed, ""),
        HOT: (is_hot, f"{seen.temperature_c} °C, where its limit is {seen.limit_c} °C"),
    }
    return {code: detail for code, (wrong, detail) in checks.items() if wrong}


def _less(known: Condition, seen: Seen) -> tuple[bool, str]:
    if seen.memory_mb is not None and known.vram_mb and seen.memory_mb < known.vram_mb * LESS_MEMORY_SHARE:
        return True, f"{seen.memory_mb} MB of memory, then {known.vram_mb} MB"
    if seen.pcie_lanes is not None and known.pcie_lanes and seen.pcie_lanes < known.pcie_lanes:
        return True, f"{seen.pcie_lanes} PCIe lanes, then {known.pcie_lanes}"
    return False, ""


def _while_well(known: Condition, found: Mapping[str, str], seen: Seen, now: datetime) -> Condition:
    at_once = next((code for code in found if not RULES[code].holds), None)
    if at_once is not None:
        return _ill(known, at_once, found[at_once], seen, now)
    suspect = next(iter(found), "")
    if not suspect:
        return replace(known, suspect="", suspect_since=None)
    since = known.suspect_since if suspect == known.suspect and known.suspect_since is not None else now
    if now - since >= RULES[suspect].holds:
        return _ill(known, suspect, found[suspect], seen, now)
    return replace(known, suspect=suspect, suspect_since=since)


def _ill(known: Condition, code: str, detail: str, seen: Seen, now: datetime) -> Condition:
    return replace(
        known,
        fault=code,
        detail=detail,
        since=now,
        fault_boot_id=seen.boot_id,
        suspect="",
        suspect_since=None,
        well_since=None,
    )


def _while_ill(known: Condition, found: Mapping[str, str], seen: Seen, now: datetime) -> Condition:
    rule = RULES[known.fault]
    if rule.until_boot and known.fault_boot_id == seen.boot_id:
        return replace(known, well_since=None)
    if found:
        graver = next((code for code in found if not RULES[code].holds), known.fault)
        if known.fault not in found and graver != known.fault:
            return _ill(known, graver, found[graver], seen, now)
        return replace(known, well_since=None)
    since = known.well_since or now
    if now - since < rule.gone:
        return replace(known, well_since=since)
    return replace(known, fault="", detail="", since=None, fault_boot_id="", well_since=None)
