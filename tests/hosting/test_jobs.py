"""Jobs on the server: asked, told of, over; and what agents send of them."""

import itertools
import json
import zlib
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from agent.job_protocol import MOST_OUTPUT_CHUNK_BYTES, JobReport
from agent.protocol import MOST_KEPT_LOG_BYTES, SyncReply
from hosting.domain import jobs
from hosting.domain.secrets import secret_hash
from hosting.errors import HostingError
from hosting.gateways import live_logs
from hosting.locks import lock_machine
from hosting.models import Job, JobChunk, KeptLog, Machine, Task
from hosting.outputs import job_output, kept_log
from hosting.services.jobs import job_ask, job_cancel, jobs_sweep
from hosting.services.tasks import task_create
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db(transaction=False)

CREDENTIAL = "sym_jobs"


@pytest.fixture
def agent() -> TestAgent:
    made = market.listed_machine()
    Machine.objects.filter(pk=made.machine.pk).update(credential_hash=secret_hash(CREDENTIAL))
    return made


@pytest.fixture
def task(agent: TestAgent) -> Task:
    machine = lock_machine(agent.machine.pk)
    made = task_create(machine=machine, kind=Task.Kind.INSTANCE, label="C.1", authorized_keys=[], now=T0)
    # Without a spec no agent can be told of it; these tests are about its jobs alone.
    made.spec = market_spec()
    made.save()
    return made


def market_spec() -> dict[str, Any]:
    return {
        "image": "image",
        "mode": "args",
        "args": [],
        "entrypoint": None,
        "env": {},
        "onstart": "",
        "hostname": "C.1",
        "cpu_cores": 1.0,
        "ram_mb": 100,
        "shm_mb": 10,
        "disk_gb": 1,
        "pids_limit": 10,
        "ports": [],
    }


def ask(task: Task, kind: str = jobs.EXECUTE, seconds: int = 0) -> Job:
    return job_ask(
        task=task, kind=kind, arguments={"command": "ls"}, asked_by=None, now=T0 + timedelta(seconds=seconds)
    )


def tell(agent: TestAgent, *reports: JobReport, seconds: int = 1) -> SyncReply:
    return agent.report(T0 + timedelta(seconds=seconds), jobs=list(reports))


def done(job: Job, **facts: Any) -> JobReport:
    return JobReport(job_id=job.pk, state="done", result={"exit_code": 0}, **facts)


# --- the state machine ------------------------------------------------------------------------------------------


def test_what_is_over_stays_so() -> None:
    for state in jobs.STATES:
        assert (not jobs.TRANSITIONS[state]) == (state not in jobs.OPEN)
        assert jobs.ASKED not in jobs.TRANSITIONS[state]


def test_an_agent_is_told_of_a_job_until_it_has_told_its_end(agent: TestAgent, task: Task) -> None:
    before = agent.report(T0).generation
    job = ask(task)
    reply = agent.report(T0)
    assert reply.generation > before
    (told,) = reply.jobs or []
    assert (told.job_id, told.kind, told.task_id, told.arguments) == (job.pk, "execute", task.pk, {"command": "ls"})
    reply = tell(agent, JobReport(job_id=job.pk, state="running", progress=7.0, message="half\0way"))
    assert [one.job_id for one in reply.jobs or []] == [job.pk]
    job.refresh_from_db()
    assert (job.state, job.progress, job.message) == ("running", 1.0, "halfway")
    assert tell(agent, done(job), seconds=2).jobs == []
    job.refresh_from_db()
    assert (job.state, job.result, job.began_at, job.ended_at) == (
        "done",
        {"exit_code": 0},
        T0 + timedelta(seconds=1),
        T0 + timedelta(seconds=2),
    )


def test_reports_are_doubled_and_late_and_of_others(agent: TestAgent, task: Task) -> None:
    job, other = ask(task), market.listed_machine()
    tell(other, done(job))
    job.refresh_from_db()
    assert job.state == "asked"
    tell(agent, done(job))
    tell(agent, JobReport(job_id=job.pk, state="failed", reason="late"), JobReport(job_id=2**63 - 1, state="running"))
    tell(agent, JobReport(job_id=-5, state="running"))
    job.refresh_from_db()
    assert (job.state, job.reason) == ("done", "")


@pytest.mark.parametrize("result", [{"a": "x" * 20_000}, {"a": "\0"}])
def test_a_result_that_cannot_be_kept_is_none(agent: TestAgent, task: Task, result: dict[str, Any]) -> None:
    job = ask(task)
    tell(agent, JobReport(job_id=job.pk, state="done", result=result))
    job.refresh_from_db()
    assert (job.state, job.result) == ("done", {})


def test_an_agent_that_knows_no_jobs_goes_on(agent: TestAgent, task: Task) -> None:
    job = ask(task)
    agent.report(T0, jobs=None)
    job.refresh_from_db()
    assert job.state == "asked"


def test_a_job_waits_for_its_machine_until_its_deadline(task: Task) -> None:
    job = ask(task)
    patience = jobs.KINDS[jobs.EXECUTE].patience
    assert jobs_sweep(now=T0 + patience) == 0
    assert jobs_sweep(now=T0 + patience + jobs.EXPIRY_GRACE) == 1
    job.refresh_from_db()
    assert (job.state, job.reason) == ("expired", "expired")
    assert jobs_sweep(now=T0 + patience + jobs.EXPIRY_GRACE) == 0


def test_jobs_of_a_task_that_is_gone_are_canceled(agent: TestAgent, task: Task) -> None:
    job = ask(task)
    Task.objects.filter(pk=task.pk).update(removed_at=T0)
    jobs_sweep(now=T0)
    job.refresh_from_db()
    assert job.state == "canceled"
    assert agent.report(T0).jobs == []


def test_one_may_be_canceled_once(agent: TestAgent, task: Task) -> None:
    job = ask(task)
    before = agent.report(T0).generation
    assert job_cancel(job_id=job.pk, now=T0) is True
    assert job_cancel(job_id=job.pk, now=T0) is False
    reply = agent.report(T0)
    assert (reply.jobs, reply.generation > before) == ([], True)


def test_only_so_many_wait_at_a_time(task: Task) -> None:
    for _ in range(jobs.KINDS[jobs.EXECUTE].most_open):
        ask(task)
    with pytest.raises(HostingError, match="under way") as refused:
        ask(task)
    assert (refused.value.code, refused.value.status) == ("too_many_jobs", 429)
    ask(task, jobs.LOGS)
    ask(task, seconds=3600)


def test_old_ones_are_forgotten_with_their_output(agent: TestAgent, task: Task) -> None:
    job = ask(task, jobs.LOGS)
    post(f"jobs/{job.pk}/output?offset=0", b"text")
    tell(agent, done(job))
    jobs_sweep(now=T0 + jobs.KEPT_FOR)
    assert Job.objects.exists()
    jobs_sweep(now=T0 + jobs.KEPT_FOR + timedelta(seconds=2))
    assert (Job.objects.exists(), JobChunk.objects.exists()) == (False, False)


# --- output -----------------------------------------------------------------------------------------------------


def post(path: str, content: bytes, credential: str = CREDENTIAL) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {credential}"}
    with time_machine.travel(T0, tick=False):
        answer = Client().post(
            f"/api/agent/v1/{path}", content, content_type="application/octet-stream", headers=headers
        )
    return answer.status_code, json.loads(answer.content)


@pytest.mark.usefixtures("agent")
def test_output_is_added_once_however_often_it_is_sent(task: Task) -> None:
    job = ask(task, jobs.LOGS)
    path = f"jobs/{job.pk}/output?offset="
    assert post(f"{path}0", b"abc") == (200, {"received_bytes": 3, "wanted": True})
    assert post(f"{path}0", b"abc")[1]["received_bytes"] == 3
    assert post(f"{path}1", b"bcde")[1]["received_bytes"] == 5
    assert post(f"{path}7", b"x")[1]["error"] == "gap"
    assert post(f"{path}5", b"")[1]["received_bytes"] == 5
    assert job_output(job) == b"abcde"


@pytest.mark.usefixtures("agent")
@given(data=st.data())
def test_any_pieces_in_any_order_make_the_whole(django_db_blocker: Any, data: st.DataObject) -> None:
    whole = b"0123456789abcdef"
    with django_db_blocker.unblock():
        machine = Machine.objects.latest("pk")
        task = Task.objects.create(
            machine=machine, kind="instance", label="x", spec=market_spec(), observed_since=T0, created_at=T0
        )
        job = ask(task, jobs.LOGS)
        cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=4)))
        pieces = list(itertools.pairwise([0, *cuts, len(whole)]))
        again = data.draw(st.lists(st.sampled_from(pieces), max_size=4))
        for first, last in [*pieces, *again]:
            post(f"jobs/{job.pk}/output?offset={first}", whole[first:last])
        assert job_output(job) == whole


@pytest.mark.usefixtures("agent")
def test_only_the_machine_of_an_open_job_may_send(task: Task) -> None:
    job = ask(task, jobs.LOGS)
    other = market.listed_machine()
    Machine.objects.filter(pk=other.machine.pk).update(credential_hash=secret_hash("sym_other"))
    path = f"jobs/{job.pk}/output?offset=0"
    assert post(path, b"x", credential="sym_wrong")[0] == 401
    assert post(path, b"x", credential="sym_other")[1]["error"] == "no_such_job"
    assert post("jobs/999999999/output?offset=0", b"x")[1]["error"] == "no_such_job"
    job_cancel(job_id=job.pk, now=T0)
    assert post(path, b"x")[1]["error"] == "no_such_job"


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("offset", ["", "-1", "x", "1" * 16, "²"])
def test_an_offset_is_a_number(task: Task, offset: str) -> None:
    assert post(f"jobs/{ask(task, jobs.LOGS).pk}/output?offset={offset}", b"x")[1]["error"] == "bad_offset"


@pytest.mark.usefixtures("agent")
def test_output_is_bounded(task: Task) -> None:
    job = ask(task)
    most = jobs.KINDS[jobs.EXECUTE].most_output_bytes
    assert post(f"jobs/{job.pk}/output?offset=0", b"x" * (MOST_OUTPUT_CHUNK_BYTES + 1))[1]["error"] == "too_large"
    assert post(f"jobs/{job.pk}/output?offset=0", b"x" * MOST_OUTPUT_CHUNK_BYTES)[0] == 200
    assert post(f"jobs/{job.pk}/output?offset={most}", b"x")[1]["error"] == "too_large"


# --- live logs --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("agent")
def test_a_stream_is_wanted_as_long_as_somebody_looks(task: Task) -> None:
    job = ask(task, jobs.FOLLOW)
    path = f"jobs/{job.pk}/output?offset="
    assert post(f"{path}0", b"one\n")[1] == {"received_bytes": 4, "wanted": False}
    live_logs.watch(task.pk)
    assert post(f"{path}4", b"two\n")[1] == {"received_bytes": 8, "wanted": True}
    assert post(f"{path}4", b"two\n")[1]["received_bytes"] == 8
    piece = live_logs.read(job.pk, 4)
    assert piece is not None
    assert (piece.start, piece.content, piece.end) == (4, b"two\n", 8)
    assert not JobChunk.objects.exists()


@pytest.mark.usefixtures("agent")
def test_of_a_long_stream_the_end_is_kept(task: Task) -> None:
    job = ask(task, jobs.FOLLOW)
    chunk = b"x" * MOST_OUTPUT_CHUNK_BYTES
    for number in range(6):
        live_logs.append(job.pk, number * len(chunk), chunk)
    piece = live_logs.read(job.pk, 0)
    assert piece is not None
    assert piece.end == 6 * len(chunk)
    assert live_logs.MOST_BYTES <= len(piece.content) <= 2 * live_logs.MOST_BYTES
    assert live_logs.read(job.pk, piece.end) == live_logs.Piece(piece.end, b"")
    assert live_logs.append(job.pk, 10**9, b"after a gap") == 10**9 + 11
    assert live_logs.read(job.pk, 5) == live_logs.Piece(10**9, b"after a gap")
    assert live_logs.read(10**12, 0) is None


# --- logs of containers that are gone ---------------------------------------------------------------------------


def keep(task: Task, content: bytes, container: str = "abc123") -> tuple[int, dict[str, Any]]:
    return post(f"tasks/{task.pk}/log?container={container}", zlib.compress(content))


@pytest.mark.usefixtures("agent")
def test_a_log_is_kept_for_a_day(task: Task) -> None:
    assert keep(task, b"first\n")[0] == 200
    assert keep(task, b"first\n")[0] == 200
    assert keep(task, b"second\n", "def456")[0] == 200
    assert kept_log(task) == b"first\nsecond\n"
    jobs_sweep(now=T0 + jobs.KEPT_FOR - timedelta(seconds=1))
    assert KeptLog.objects.count() == 2
    jobs_sweep(now=T0 + jobs.KEPT_FOR)
    assert KeptLog.objects.count() == 0


@pytest.mark.usefixtures("agent")
def test_logs_that_nobody_may_or_wants_to_see_are_not_kept(task: Task) -> None:
    assert post(f"tasks/{task.pk}/log?container=a", b"not zlib")[1]["error"] == "bad_log"
    bomb = zlib.compress(b"0" * (MOST_KEPT_LOG_BYTES + 1))
    assert post(f"tasks/{task.pk}/log?container=a", bomb)[1]["error"] == "bad_log"
    assert keep(task, b"x", "../../etc")[1]["error"] == "bad_log"
    assert keep(task, b"x", "a" * 65)[1]["error"] == "bad_log"
    other = market.listed_machine()
    Machine.objects.filter(pk=other.machine.pk).update(credential_hash=secret_hash("sym_other"))
    path = f"tasks/{task.pk}/log?container=a"
    assert post(path, zlib.compress(b"x"), credential="sym_other")[1]["error"] == "no_such_task"
    Task.objects.filter(pk=task.pk).update(kind="benchmark")
    assert keep(task, b"x")[0] == 200
    assert not KeptLog.objects.exists()
