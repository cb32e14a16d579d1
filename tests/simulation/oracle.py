"""Who should run, worked out anew from the rows, and what is wrong about who does."""

from collections.abc import Collection

from django.conf import settings

from marketplace.domain.auction import Claim, Kind, Outcome, Policy, clear
from tests.simulation.failure import must
from tests.simulation.rows import InstanceRow, Rows

TAKES_PART = frozenset({"scheduling", "loading", "running", "outbid"})
RUNS = frozenset({"loading", "running"})
LEAST_FLOOR = 1_000


class Market:
    """One machine's market as the rows tell it."""

    def __init__(self, rows: Rows, machine_id: int) -> None:
        self.rows = rows
        self.machine_id = machine_id
        self.usable = [gpu.id for gpu in rows.gpus.values() if gpu.machine_id == machine_id and gpu.usable]
        mine = {gpu.id for gpu in rows.gpus.values() if gpu.machine_id == machine_id}
        self.holder = {gpu_id: task_id for gpu_id, task_id in rows.claims if gpu_id in mine}
        self.instances = [one for one in rows.instances.values() if one.machine_id == machine_id]

    def holds(self, task_id: int) -> frozenset[int]:
        """The GPUs that a task claims."""
        return frozenset(gpu for gpu, holder in self.holder.items() if holder == task_id)

    def floor(self) -> int:
        """Micro-dollars per GPU and hour below which the host takes no bid."""
        listing, job = self.rows.listings.get(self.machine_id), self.rows.idle_jobs.get(self.machine_id)
        # The host's minimum stays what it was while the machine is off the market: bids that run go on.
        return max(listing.min_bid if listing else 0, job.price if job and job.active else 0, LEAST_FLOOR)

    def outcome(self) -> Outcome:
        """What the auction decides."""
        claims = [self._claim(one) for one in self.instances if one.state in TAKES_PART]
        return clear(self.usable, claims, Policy(increment_bps=settings.BID_INCREMENT_BPS, floor=self.floor()))

    def _claim(self, one: InstanceRow) -> Claim:
        return Claim(
            claim_id=one.id,
            kind=Kind.ON_DEMAND if one.bid is None else Kind.BID,
            num_gpus=one.num_gpus,
            placed_at=one.bid_placed_at or one.waiting_since or one.created_at,
            price=one.bid or 0,
            holds=self.holds(one.task_id) if one.state in RUNS else frozenset(),
        )

    def check(self, outcome: Outcome) -> None:
        """Everything about a machine that was cleared and can be reached."""
        must(not outcome.displaced, f"machine {self.machine_id}: {sorted(outcome.displaced)} should have left")
        winners = [one for one in self.instances if one.id in outcome.winner_ids]
        must(self._room(winners) >= 0, f"machine {self.machine_id}: more winners than GPUs")
        for one in winners:
            self._check_winner(one)
        for one in self.instances:
            if one.state in TAKES_PART and one.id not in outcome.winner_ids:
                waits = "scheduling" if one.bid is None else "outbid"
                must(one.state == waits, f"instance {one.id} loses and is {one.state}")
        self._check_prices()
        self._check_idle(winners)

    def _room(self, winners: Collection[InstanceRow]) -> int:
        """Usable GPUs that the winners leave to others."""
        wanted = sum(one.num_gpus for one in winners if one.state not in RUNS)
        held = {gpu for one in winners if one.state in RUNS for gpu in self.holds(one.task_id)}
        return len(set(self.usable) - held) - wanted

    def _check_winner(self, one: InstanceRow) -> None:
        held = self.holds(one.task_id)
        if one.state in RUNS:
            must(len(held) == one.num_gpus, f"instance {one.id} is {one.state} on {sorted(held)}, not {one.num_gpus}")
            # Who rents on demand stays even where a GPU breaks; it is the client's to judge what the rest is worth.
            must(one.bid is None or held <= set(self.usable), f"bid {one.id} is {one.state} on broken GPUs")
            return
        must(one.state == "scheduling", f"instance {one.id} wins and is {one.state}")
        ending = [task for task in self.holder.values() if self.rows.tasks[task].desired != "running"]
        must(bool(ending), f"instance {one.id} wins, nobody is leaving, and it waits")

    def _check_prices(self) -> None:
        for one in self.instances:
            if one.state in TAKES_PART and one.bid is not None:
                must(one.price == one.bid, f"instance {one.id} bids {one.bid} and pays {one.price}")

    def _check_idle(self, winners: Collection[InstanceRow]) -> None:
        job = self.rows.idle_jobs.get(self.machine_id)
        idle = [task for task in self.rows.tasks.values() if task.machine_id == self.machine_id]
        runs = [task for task in idle if task.kind == "idle_job" and task.desired == "running"]
        room = self._room(winners)
        must(not runs or bool(job and job.active), f"machine {self.machine_id}: an idle job runs that was removed")
        must(len(runs) <= room, f"machine {self.machine_id}: idle jobs on {len(runs)} GPUs, room for {room}")
        for task in runs:
            where = self.holds(task.id)
            must(where == {task.idle_gpu_id}, f"idle task {task.id} of GPU {task.idle_gpu_id} holds {sorted(where)}")
            must(where <= set(self.usable), f"idle task {task.id} runs on a broken GPU")

    def check_offers(self, outcome: Outcome | None) -> None:
        """The live offers say what the auction quotes; None where the machine can't be reached."""
        listing = self.rows.listings.get(self.machine_id)
        live = {offer.num_gpus: offer for offer in self.rows.offers if offer.machine_id == self.machine_id}
        must(not live or bool(listing and listing.active), f"machine {self.machine_id} is unlisted and has offers")
        total = self.rows.machines[self.machine_id].disk_total_gb
        given = sum(one.disk_gb for one in self.instances if not self.rows.tasks[one.task_id].removed)
        for size, offer in live.items():
            disk = max(min(total * size // len(self.usable), total - given), 0)
            quote = outcome.quotes.get(size) if outcome else None
            expected = (quote is not None and disk > 0, quote if disk > 0 else None, disk)
            told = (offer.rentable, offer.least_bid, offer.disk_gb)
            must(told == expected, f"machine {self.machine_id}, {size} GPUs: offer says {told}, should be {expected}")
        if listing and listing.active and self.usable:
            must(set(live) <= set(_sizes(len(self.usable), listing.min_gpus)), "an offer of an odd size", sorted(live))

    def check_all_sizes_offered(self) -> None:
        """For a listing that has not ended."""
        listing = self.rows.listings.get(self.machine_id)
        if listing and listing.active and self.usable:
            live = {offer.num_gpus for offer in self.rows.offers if offer.machine_id == self.machine_id}
            wanted = set(_sizes(len(self.usable), listing.min_gpus))
            must(live == wanted, f"machine {self.machine_id} offers {sorted(live)}, not {sorted(wanted)}")


def _sizes(count: int, minimum: int) -> list[int]:
    doubling = [minimum * 2**power for power in range(8) if minimum * 2**power <= count]
    return doubling + ([count] if count >= minimum and count not in doubling else [])


def check_markets(rows: Rows) -> None:
    """Every machine whose marks are cleared; offers also of those that can't be reached."""
    for machine_id in rows.machines:
        if machine_id in rows.marked:
            continue
        market = Market(rows, machine_id)
        outcome = market.outcome() if rows.able(machine_id) else None
        if outcome is not None:
            market.check(outcome)
        market.check_offers(outcome)
