"""Jobs: what an agent is asked to do once, and what came of it."""

from django.conf import settings
from django.db import models

from hosting.domain.jobs import OPEN, STATES
from hosting.models.machine import Machine
from hosting.models.task import Task


class Job(models.Model):
    """One thing to be done on a machine. The row is the order; see ``hosting/domain/jobs.py``."""

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="jobs")
    task = models.ForeignKey(Task, null=True, blank=True, on_delete=models.PROTECT, related_name="jobs")
    kind = models.CharField(max_length=20)
    arguments = models.JSONField(default=dict)
    sealed = models.TextField(blank=True, help_text="More arguments, encrypted; forgotten as soon as the job is over.")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    state = models.CharField(max_length=10, choices=[(s, s) for s in STATES], default="asked")
    progress = models.FloatField(null=True, blank=True, help_text="Share that is done, 0 to 1.")
    reason = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)
    result = models.JSONField(null=True, blank=True)
    output_bytes = models.PositiveBigIntegerField(default=0)

    asked_at = models.DateTimeField()
    deadline = models.DateTimeField()
    began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=STATES), name="job_state_known"),
            models.CheckConstraint(
                condition=models.Q(models.Q(state__in=OPEN, ended_at=None))
                | models.Q(~models.Q(state__in=OPEN), ended_at__isnull=False),
                name="job_ended_when_final",
            ),
        ]
        indexes = [
            models.Index(fields=["machine"], condition=models.Q(state__in=OPEN), name="job_open_by_machine"),
            models.Index(fields=["deadline"], condition=models.Q(state__in=OPEN), name="job_open_by_deadline"),
            models.Index(fields=["task", "kind", "-id"], name="job_by_task"),
            models.Index(fields=["ended_at"], name="job_by_end"),
        ]

    def __str__(self) -> str:
        return f"job {self.pk} {self.kind}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class JobChunk(models.Model):
    """A piece of a job's output, from byte ``start`` on. Pieces follow each other without gaps."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="chunks")
    start = models.PositiveBigIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "start"], name="one_chunk_per_start")]

    def __str__(self) -> str:
        return f"job {self.job_id} from {self.start}"


class KeptLog(models.Model):
    """The end of the log of a container that is gone, as its agent handed it in."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="kept_logs")
    container = models.CharField(max_length=64, help_text="The engine's id of it.")
    content = models.BinaryField(help_text="Compressed by zlib.")
    kept_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "container"], name="one_log_per_container")]

    def __str__(self) -> str:
        return f"log of task {self.task_id}"
