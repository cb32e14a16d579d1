"""Dirty marks: which machines the auction has to look at again."""

from django.db import models

from hosting.models import Machine


class DirtyMark(models.Model):
    """Something that may change the outcome on a machine was committed together with this row.

    Rows are only added and taken away, never changed, so those who add them never wait for each other. Whoever clears
    the machine deletes the marks it sees and then reads the claims: a mark it does not see yet stays for the next.
    The reference to the machine is unchecked, because checking it would wait for the machine's lock.
    """

    machine = models.ForeignKey(Machine, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    marked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"machine {self.machine_id} since {self.marked_at:%H:%M:%S}"
