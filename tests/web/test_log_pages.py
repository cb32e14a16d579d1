"""Logs and commands on pages."""

import zlib
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from agent.job_protocol import JobReport
from hosting.domain import jobs
from hosting.gateways import presence
from hosting.models import Job
from hosting.services.job_output import log_keep, output_take
from hosting.services.offline import machine_mark_offline
from marketplace.models import Instance, User
from marketplace.services.lifecycle import instance_destroy, instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def instance(agent: TestAgent, renter: User) -> Instance:
    """It runs."""
    made = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(label="mine"), now=T0)
    agent.obey(T0)
    return Instance.objects.get(pk=made.pk)


def tail(web: Client, instance: Instance, piece: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the page hears, that has heard ``piece`` before."""
    query = {"stream": piece["stream"], "after": str(piece["next"])} if piece else {}
    found: Any = web.get(f"/instances/{instance.pk}/logs/tail/", query)
    assert found.status_code == 200
    return dict(found.json())


def write(agent: TestAgent, job: Job, start: int, content: bytes) -> bool:
    reply = output_take(machine=agent.machine, job_id=job.pk, start=start, content=content, now=T0)
    return reply.wanted


def test_many_who_look_cost_one_stream(web: Client, agent: TestAgent, instance: Instance) -> None:
    first = tail(web, instance)
    assert first["note"] == "Waiting for the machine…"
    tail(web, instance)
    job = Job.objects.get()
    assert (job.kind, job.state) == ("follow", "asked")
    assert write(agent, job, 0, b"one\ntwo\nthr") is True
    piece = tail(web, instance)
    assert (piece["text"], piece["partial"], piece["reset"]) == ("one\ntwo\n", "thr", True)
    write(agent, job, 11, b"ee\n\x1b[2J<b>&\n")
    more = tail(web, instance, piece)
    assert (more["text"], more["partial"], more["reset"]) == ("three\n<b>&\n", "", False)
    assert tail(web, instance, more)["text"] == ""
    assert Job.objects.count() == 1


def test_a_stream_that_ended_is_asked_for_again_when_there_may_be_more(
    web: Client, agent: TestAgent, instance: Instance
) -> None:
    tail(web, instance)
    job = Job.objects.get()
    write(agent, job, 0, b"one\n")
    agent.report(T0, jobs=[JobReport(job_id=job.pk, state="done", result={})])
    assert tail(web, instance)["text"] == "one\n"
    assert Job.objects.count() == 1, "at once would be too soon"
    with time_machine.travel(T0 + timedelta(seconds=3), tick=False):
        tail(web, instance)
    assert Job.objects.count() == 2


def test_what_stopped_is_not_asked_for_again_and_again(web: Client, agent: TestAgent, instance: Instance) -> None:
    instance_stop(instance_id=instance.pk, actor=instance.client, now=T0)
    agent.obey(T0)
    with time_machine.travel(T0 + timedelta(seconds=10), tick=False):
        tail(web, instance)
        job = Job.objects.get()
        write(agent, job, 0, b"last words\n")
        agent.report(T0 + timedelta(seconds=10), jobs=[JobReport(job_id=job.pk, state="done", result={})])
    with time_machine.travel(T0 + timedelta(seconds=60), tick=False):
        assert tail(web, instance)["text"] == "last words\n"
        assert Job.objects.count() == 1
        presence.client().flushdb()
        assert tail(web, instance)["note"] == "Waiting for the machine…"
        assert Job.objects.count() == 2, "what Redis lost comes from the machine again"


def test_an_empty_log_says_why(web: Client, agent: TestAgent, instance: Instance) -> None:
    tail(web, instance)
    write(agent, Job.objects.get(), 0, b"")
    assert tail(web, instance)["note"].startswith(f"Instance {instance.pk} has written nothing.")


def test_a_machine_that_is_away_is_told(web: Client, instance: Instance) -> None:
    machine_mark_offline(machine_id=instance.machine_id, last_seen_at=T0, now=T0 + timedelta(minutes=5))
    assert "has written nothing" in tail(web, instance)["note"]
    answer: Any = web.post(f"/instances/{instance.pk}/logs/request/")
    assert (answer.status_code, answer.json()["error"]) == (409, "machine_offline")


def test_a_log_is_downloaded(web: Client, agent: TestAgent, instance: Instance) -> None:
    asked: Any = web.post(f"/instances/{instance.pk}/logs/request/")
    url = asked.json()["result_url"].partition("testserver")[2]
    assert web.get(url).status_code == 202
    job = Job.objects.get()
    write(agent, job, 0, b"all of it\n")
    agent.report(T0, jobs=[JobReport(job_id=job.pk, state="done", result={})])
    found: Any = web.get(url)
    assert (found.status_code, found.content) == (200, b"all of it\n")


def test_what_was_destroyed_shows_its_log_for_a_day(web: Client, agent: TestAgent, instance: Instance) -> None:
    assert "Logs of what you destroyed" not in text(web.get("/instances/"))
    instance_destroy(instance_id=instance.pk, actor=instance.client, now=T0)
    agent.obey(T0)
    content = zlib.compress(b"kept\n")
    log_keep(machine=agent.machine, task_id=instance.task_id, container="a1", content=content, now=T0)
    page = f"/instances/{instance.pk}/logs/"
    assert "This instance is destroyed. Its log is kept until 3 Mar 2026 12:00 UTC." in text(web.get(page))
    piece = tail(web, instance)
    assert (piece["text"], piece["reset"], piece["over"]) == ("kept\n", True, True)
    assert tail(web, instance, piece)["text"] == ""
    assert f"C.{instance.pk}" in text(web.get("/instances/"))
    with time_machine.travel(T0 + timedelta(hours=25), tick=False):
        assert web.get(page).status_code == 404
        assert "Logs of what you destroyed" not in text(web.get("/instances/"))
    assert not Job.objects.exists()


def test_what_never_began_says_so(web: Client, agent: TestAgent, renter: User) -> None:
    for _ in range(4):
        made = instance_rent(
            client=renter, offer_id=market.offer(agent).pk, request=market.wish(bid_micros_per_hour=None), now=T0
        )
        break
    Instance.objects.filter(pk=made.pk).update(state="scheduling")
    made.task.run_generation = 0
    made.task.save()
    made.refresh_from_db()
    assert "has written nothing" in tail(web, made)["note"]
    assert not Job.objects.exists()


def test_strangers_see_nothing(other_web: Client, instance: Instance) -> None:
    for page in ("logs/", "logs/tail/", "command/1/"):
        assert other_web.get(f"/instances/{instance.pk}/{page}").status_code == 404
    for page in ("logs/request/", "command/"):
        assert other_web.post(f"/instances/{instance.pk}/{page}", {"command": "ls"}).status_code == 404
    assert not Job.objects.exists()


# --- commands ---------------------------------------------------------------------------------------------------


def test_a_command_runs_and_its_output_comes(web: Client, agent: TestAgent, instance: Instance) -> None:
    assert "Run a command" in text(web.get(f"/instances/{instance.pk}/"))
    sent = web.post(f"/instances/{instance.pk}/command/", {"command": "echo <hi>"}, headers=HTMX)
    assert "# echo <hi> Running…" in text(sent)
    job = Job.objects.get()
    address = f"/instances/{instance.pk}/command/{job.pk}/"
    assert address in sent.content.decode()
    write(agent, job, 0, b"<hi>\n")
    agent.report(T0, jobs=[JobReport(job_id=job.pk, state="done", result={"exit_code": 0})])
    shown = web.get(address, headers=HTMX)
    assert "Done <hi>" in text(shown)
    assert "hx-get" not in shown.content.decode()
    history = text(web.get(f"/instances/{instance.pk}/"))
    assert "Command run by you echo <hi>" in history


def test_a_command_that_went_wrong_is_marked(web: Client, agent: TestAgent, instance: Instance) -> None:
    web.post(f"/instances/{instance.pk}/command/", {"command": "false"}, headers=HTMX)
    job = Job.objects.get()
    agent.report(T0, jobs=[JobReport(job_id=job.pk, state="done", result={"exit_code": 1})])
    shown = text(web.get(f"/instances/{instance.pk}/command/{job.pk}/", headers=HTMX))
    assert "Failed" in shown
    assert "exit code 1" in shown


def test_a_command_that_nobody_answered_is_over_in_the_end(web: Client, instance: Instance) -> None:
    web.post(f"/instances/{instance.pk}/command/", {"command": "ls"}, headers=HTMX)
    job = Job.objects.get()
    Job.objects.filter(pk=job.pk).update(state=jobs.EXPIRED, ended_at=T0, message="The machine did not answer in time.")
    shown = text(web.get(f"/instances/{instance.pk}/command/{job.pk}/", headers=HTMX))
    assert "The machine did not answer in time." in shown


def test_refusals_stand_where_the_output_would(web: Client, agent: TestAgent, instance: Instance) -> None:
    address = f"/instances/{instance.pk}/command/"
    empty = web.post(address, {"command": " "}, headers=HTMX)
    assert (empty.status_code, text(empty)) == (422, "Give a command.")
    instance_stop(instance_id=instance.pk, actor=instance.client, now=T0)
    busy = web.post(address, {"command": "ls"}, headers=HTMX)
    assert "is stopping" in text(busy)
    agent.obey(T0)
    other = Job.objects.create(
        machine=agent.machine, kind="execute", arguments={"command": "secret"}, asked_at=T0, deadline=T0
    )
    assert web.get(f"{address}{other.pk}/").status_code == 404
