"""Dirty marks: which machines the auction has to look at again."""

from django.db import models

from hosting.models import Machine
from marketplace.models.instance import Instance


class DirtyMark(models.Model):
    """Something that may change the outcome on a machine was committed together with this row.

    Rows are only added and taken away, never changed, so those who add them never wait for each other. Whoever clears
    the machine deletes the marks it sees and then reads the claims: a mark it does not see yet stays for the next.
    A mark may carry a bid: the clearing that takes the mark puts the bid on its instance. So a bid, too, waits for
    nobody. References are unchecked, because checking them would wait for the machine's and the instance's locks.
    """

    machine = models.ForeignKey(Machine, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    marked_at = models.DateTimeField()
    instance = models.ForeignKey(
        Instance, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    bid_micros_per_hour = models.BigIntegerField(null=True, help_text="For all GPUs of the instance that bids.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(instance__isnull=True, bid_micros_per_hour__isnull=True)
                | models.Q(instance__isnull=False, bid_micros_per_hour__gt=0),
                name="dirty_mark_bid_is_whole",
            )
        ]

    def __str__(self) -> str:
        return f"machine {self.machine_id} since {self.marked_at:%H:%M:%S}"
