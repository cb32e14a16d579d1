"""What the agent must still know of a job after it was killed at any instant. One small file a job, and its output."""

import shutil
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from agent.jobs.kinds import workspace_beside
from agent.tasks.memory import write_durably


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``begun`` is on the disk before the job has any effect; the end before it is told."""

    job_id: int
    kind: str
    state: Literal["begun", "done", "failed"]
    noted_at: float
    """By this machine's clock, for tidying up only."""
    reason: str = ""
    message: str = ""
    result: dict[str, Any] | None = None
    delivered: bool = False
    """The server has all of the output."""

    @property
    def is_over(self) -> bool:
        return self.state != "begun"

    def changed(self, **fields: object) -> "JobRecord":
        """A copy with these fields replaced."""
        return msgspec.structs.replace(self, **fields)


class JobStore:
    """The files of all jobs, in a directory only the agent's user can read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load_all(self) -> dict[int, JobRecord]:
        """Every job remembered, by id. A file that can't be read is an error: guessing could do a job twice."""
        files = sorted(self._directory.glob("job-*.json"))
        records = [msgspec.json.decode(path.read_bytes(), type=JobRecord) for path in files]
        return {record.job_id: record for record in records}

    def save(self, record: JobRecord) -> None:
        """On the disk, completely, when this returns."""
        write_durably(self._path(record.job_id), msgspec.json.encode(record))

    def output(self, job_id: int) -> Path:
        """Where the job's output is kept until the server has it."""
        return self._directory / f"job-{job_id}.out"

    def drop_output(self, job_id: int) -> None:
        """What the job has made goes, finished or not."""
        self.output(job_id).unlink(missing_ok=True)
        self.drop_workspace(job_id)

    def drop_workspace(self, job_id: int) -> None:
        shutil.rmtree(workspace_beside(self.output(job_id)), ignore_errors=True)

    def forget(self, job_id: int) -> None:
        """Delete all of a job; does nothing where it is unknown."""
        self.drop_output(job_id)
        self._path(job_id).unlink(missing_ok=True)

    def _path(self, job_id: int) -> Path:
        return self._directory / f"job-{job_id}.json"


def begun(job_id: int, kind: str) -> JobRecord:
    """The note that precedes a job."""
    return JobRecord(job_id=job_id, kind=kind, state="begun", noted_at=time.time())
