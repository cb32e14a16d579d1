"""Every second of GPU time and every byte is charged once, to the right contract, at the price then in force."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db import connection

from billing.selectors import ledger_check
from tests.simulation.box import Box
from tests.simulation.failure import must
from tests.simulation.rows import EventRow, InstanceRow, MeterRow, Rows, SegmentRow

MICROSECOND = timedelta(microseconds=1)
QUANTUM = 3_600_000_000
GB = 10**9
AT_THE_DECISION = frozenset({"client", "reboot", "outbid", "on_demand", "below_floor", "gpu_lost"})

_SUMS = """SELECT a.kind, COALESCE(SUM(p.amount_micros), 0) FROM billing_posting p
JOIN billing_ledgeraccount a ON a.id = p.account_id JOIN billing_entry e ON e.id = p.entry_id AND e.kind = 'usage'
GROUP BY a.kind"""
_POSTED = "SELECT id, posted_micros FROM billing_meter"


class Books:
    """Keeps its own account of every meter, from the segments as they were seen to begin and end."""

    def __init__(self) -> None:
        self._open: dict[int, SegmentRow] = {}
        self._last_end: dict[int, datetime] = {}
        self._units: dict[int, int] = defaultdict(int)
        self._stores: set[int] = set()
        self.last_segment_id = 0
        self.silent_since: dict[int, datetime] = {}
        """By machine, when the sweep that runs now will find that it was last heard."""
        self.heard: dict[int, datetime] = {}
        """By machine, the contact before the one that is under way, where Redis knows it."""

    @property
    def open_segment_ids(self) -> list[int]:
        """Of the segments that lasted when last looked."""
        return list(self._open)

    def check(self, before: Rows, rows: Rows, boxes: dict[int, Box], now: datetime, latest: datetime) -> None:
        """One step further, made at ``now``. ``before`` is what was read last."""
        for segment in rows.segments:
            must(max(segment.started_at, segment.ended_at or latest) <= latest, f"segment {segment.id} in the future")
            self._segment(segment, before, rows, boxes, now)
        rented_now = {event.instance_id for event in rows.events if not event.from_state}
        for event in rows.events:
            waits_from_the_start = event.to_state == "outbid" and event.instance_id in rented_now
            if event.to_state == "running" or waits_from_the_start:
                self._stores.add(event.instance_id)
            elif event.to_state in ("destroying",) or event.reason == "container_lost":
                self._stores.discard(event.instance_id)
        for meter in rows.meters.values():
            self._check_meter(meter, rows)
            if meter.kind == "traffic":
                self._check_traffic(meter, rows, boxes)

    def _segment(self, segment: SegmentRow, before: Rows, rows: Rows, boxes: dict[int, Box], now: datetime) -> None:
        meter = rows.meters[segment.meter_id]
        if segment.id > self.last_segment_id:
            self.last_segment_id = segment.id
            self._begins(segment, meter, rows, boxes)
        if segment.ended_at is None:
            self._open[segment.id] = segment
            return
        if meter.kind == "traffic":
            del self._open[segment.id]
            return
        self._units[meter.id] += segment.rate * ((segment.ended_at - segment.started_at) // MICROSECOND)
        self._last_end[meter.id] = segment.ended_at
        was_open = self._open.pop(segment.id, None) is not None
        if was_open and meter.kind == "storage":
            self._disk_ends(segment.ended_at, meter, before, rows, now)
        if was_open and meter.kind == "gpu":
            self._ends(segment, segment.ended_at, meter, before, rows, now)

    def _begins(self, segment: SegmentRow, meter: MeterRow, rows: Rows, boxes: dict[int, Box]) -> None:
        earlier = self._last_end.get(meter.id)
        must(earlier is None or earlier <= segment.started_at, f"instance {meter.instance_id} is charged twice")
        if meter.kind != "gpu" or earlier == segment.started_at:
            return
        one = rows.instances[meter.instance_id]
        runs = boxes[one.machine_id].runs.get(one.task_id, [])
        must(bool(runs), f"instance {one.id} never ran and is charged")
        # A wrong clock may shift a start, but by no more than the time since the last contact.
        heard = self.heard.get(one.machine_id)
        honest = heard is None or any(start <= segment.started_at for start, _ in runs)
        late = f"instance {one.id} is charged from {segment.started_at} on, it ran {runs}, heard at {heard}"
        must(honest or (heard is not None and heard <= segment.started_at), late)

    def _ends(
        self, segment: SegmentRow, ended_at: datetime, meter: MeterRow, before: Rows, rows: Rows, now: datetime
    ) -> None:
        one = rows.instances[meter.instance_id]
        leaving = [e for e in rows.events if e.instance_id == one.id and e.from_state == "running"]
        expected = self._expected_end(leaving[0] if leaving else None, one, before, rows, now)
        settled_at = before.meters[meter.id].settled_at if meter.id in before.meters else segment.started_at
        expected = max(min(expected, now), segment.started_at, settled_at)
        must(ended_at == expected, f"instance {one.id} is charged until {ended_at}, not {expected}", leaving)

    def _disk_ends(self, ended_at: datetime, meter: MeterRow, before: Rows, rows: Rows, now: datetime) -> None:
        """A disk that is deleted for its client's debt is charged until the debt came to its end, and not longer."""
        unpaid = any(e.instance_id == meter.instance_id and e.reason == "unpaid" for e in rows.events)
        if not unpaid:
            return
        end = before.disks_end_at(rows.instances[meter.instance_id].client_id)
        must(end is not None and end <= now, f"instance {meter.instance_id} is deleted at {now}, the debt ends {end}")
        expected = max(end or now, before.meters[meter.id].settled_at)
        must(ended_at == expected, f"disk of {meter.instance_id} is charged until {ended_at}, not {expected}")

    def _expected_end(
        self, event: EventRow | None, one: InstanceRow, before: Rows, rows: Rows, now: datetime
    ) -> datetime:
        if event is None:
            went_offline = before.machines[one.machine_id].online and not rows.machines[one.machine_id].online
            return self.silent_since.get(one.machine_id, now) if went_offline else now
        if event.reason in AT_THE_DECISION:
            return now
        if event.reason == "expired":
            return before.instances[one.id].end_at
        if event.reason == "no_credit":
            return before.credit_ends.get(one.client_id) or now
        return rows.tasks[one.task_id].observed_since

    def _check_meter(self, meter: MeterRow, rows: Rows) -> None:
        one = rows.instances[meter.instance_id]
        must(meter.closed == (one.state in ("destroying", "destroyed")), f"{meter.kind} of {one.id}: {one.state}")
        if meter.kind == "storage":
            must(meter.runs == (one.id in self._stores), f"the disk of instance {one.id} is charged: {meter.runs}")
            return
        if meter.kind == "traffic":
            return
        should = one.state == "running" and rows.machines[one.machine_id].online
        must(meter.runs == should, f"GPU time of instance {one.id} ({one.state}) is charged: {meter.runs}")
        if meter.runs:
            must(meter.rate == one.price, f"instance {one.id} is charged {meter.rate}, its price is {one.price}")

    def _check_traffic(self, meter: MeterRow, rows: Rows, boxes: dict[int, Box]) -> None:
        one = rows.instances[meter.instance_id]
        sent = boxes[one.machine_id].sent.get(one.task_id, 0)
        must(meter.counted_bytes <= sent, f"instance {one.id} sent {sent} bytes and is charged {meter.counted_bytes}")

    def check_ledger(self, now: datetime) -> None:
        """The ledger's own proofs."""
        found = ledger_check(now)
        must(not found, "the ledger says:", found)

    def check_totals(self, rows: Rows) -> None:
        """Everything was settled at one moment: what was posted is what our own account says, split in full."""
        units = dict(self._units)
        for segment in self._open.values():
            if rows.meters[segment.meter_id].kind == "traffic":
                continue
            lasted = (rows.meters[segment.meter_id].settled_at - segment.started_at) // MICROSECOND
            units[segment.meter_id] = units.get(segment.meter_id, 0) + segment.rate * lasted
        with connection.cursor() as cursor:
            cursor.execute(_POSTED)
            for meter_id, posted in cursor.fetchall():
                meter = rows.meters[meter_id]
                total = units.get(meter_id, 0) // QUANTUM
                if meter.kind == "traffic":
                    total = meter.counted_bytes * meter.rate // GB
                must(posted == total, f"meter {meter_id} posted {posted}", total)
            cursor.execute(_SUMS)
            sums = {kind: int(total) for kind, total in cursor.fetchall()}
        client, host = sums.get("client_credit", 0), sums.get("host_earnings", 0)
        must(-client == host + sums.get("platform_fees", 0), "the split is", sums)
