"""Logs and commands as the command-line client asks for them."""

import zlib
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.test import Client

from agent.job_protocol import JobReport
from agent.protocol import ObservedTask
from hosting.domain import jobs
from hosting.models import Job, Machine, Task
from hosting.services.job_output import log_keep, output_take
from hosting.services.offline import machine_mark_offline
from marketplace.models import Instance, User
from marketplace.services.lifecycle import instance_destroy, instance_stop
from marketplace.services.rent import instance_rent
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent


@pytest.fixture
def instance(agent: TestAgent, client_user: User) -> Instance:
    """It runs."""
    made = instance_rent(client=client_user, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    return Instance.objects.get(pk=made.pk)


def fetch(url: str, **query: str) -> tuple[int, str]:
    """What anybody finds at the address."""
    answer: Any = Client().get(urlsplit(url).path, query)
    return answer.status_code, answer.content.decode()


def answer(agent: TestAgent, job: Job, content: bytes, **facts: Any) -> None:
    """The machine's agent has done the job."""
    if content:
        output_take(machine=agent.machine, job_id=job.pk, start=0, content=content, now=T0)
    values: dict[str, Any] = {"state": "done", "result": {"exit_code": 0}} | facts
    agent.report(T0, jobs=[JobReport(job_id=job.pk, **values)])


def test_a_log_is_there_when_the_machine_has_answered(api: Api, agent: TestAgent, instance: Instance) -> None:
    body = {"tail": "2", "filter": "LINE"}
    asked = api.put(f"/instances/request_logs/{instance.pk}/", body)
    assert (asked.status, asked.json["success"]) == (200, True)
    url = asked.json["result_url"]
    assert fetch(url)[0] == 202
    job = Job.objects.get()
    assert (job.kind, job.task_id, job.asked_by_id) == ("logs", instance.task_id, instance.client_id)
    answer(agent, job, b"line 1\nother\n\x1b[31mline 2\nline 3\n")
    assert fetch(url) == (200, "line 2\nline 3\n")


def test_one_request_to_the_machine_serves_all_that_ask_at_once(api: Api, instance: Instance) -> None:
    first = api.put(f"/instances/request_logs/{instance.pk}/")
    second = api.put(f"/instances/request_logs/{instance.pk}/", {"tail": 1})
    assert first.json["result_url"] != second.json["result_url"]
    assert Job.objects.count() == 1


def test_an_address_is_of_no_use_for_long_or_when_changed(
    api: Api, instance: Instance, clock: time_machine.Traveller
) -> None:
    url = api.put(f"/instances/request_logs/{instance.pk}/").json["result_url"]
    assert fetch(url[:-3] + "x/")[0] == 404
    assert fetch(url.replace("results/", "results/x"))[0] == 404
    clock.shift(timedelta(hours=1, seconds=1))
    assert fetch(url)[0] == 404


def test_a_result_can_be_kept_as_a_file(api: Api, agent: TestAgent, instance: Instance) -> None:
    url = api.put(f"/instances/request_logs/{instance.pk}/").json["result_url"]
    answer(agent, Job.objects.get(), b"<script>\n")
    found: Any = Client().get(urlsplit(url).path, {"download": "1"})
    assert found["Content-Type"] == "text/plain; charset=utf-8"
    assert found["Content-Disposition"] == f'attachment; filename="instance-{instance.pk}.log"'
    assert found["X-Content-Type-Options"] == "nosniff"


@pytest.mark.usefixtures("agent")
def test_others_have_no_such_instance(stranger: Api, anyone: Api, host_api: Api, instance: Instance) -> None:
    for path, body in ((f"/instances/request_logs/{instance.pk}/", {}), (f"/instances/command/{instance.pk}/", LS)):
        assert stranger.put(path, body).error == "no_such_instance"
        assert host_api.put(path, body).error == "no_such_instance"
        assert anyone.put(path, body).status == 401
    assert not Job.objects.exists()


def test_what_agent_and_marketplace_did(api: Api, agent: TestAgent, instance: Instance, client_user: User) -> None:
    other = instance_rent(client=client_user, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    failed = ObservedTask(
        task_id=other.task_id, phase="failed", run_generation=1, age_seconds=0.0, message="Other's secret."
    )
    agent.report(T0, failed)
    for wish in ("true", True):
        url = api.put(f"/instances/request_logs/{instance.pk}/", {"daemon_logs": wish}).json["result_url"]
        status, text = fetch(url)
        assert status == 200
        assert "2026-03-02 12:00:00 UTC agent run 1 running" in text
        assert "state running" in text
        assert "secret" not in text
    assert not Job.objects.exists()


def test_an_instance_that_failed_to_start_says_why(api: Api, agent: TestAgent, client_user: User) -> None:
    made = instance_rent(client=client_user, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    failed = ObservedTask(
        task_id=made.task_id, phase="failed", run_generation=1, age_seconds=0.0, message="No such image."
    )
    agent.report(T0, failed)
    url = api.put(f"/instances/request_logs/{made.pk}/").json["result_url"]
    answer(agent, Job.objects.get(), b"", result={"present": False})
    status, text = fetch(url)
    assert (status, "No such image." in text) == (200, True)


def test_a_job_that_came_to_nothing_says_why(api: Api, agent: TestAgent, instance: Instance) -> None:
    url = api.put(f"/instances/request_logs/{instance.pk}/").json["result_url"]
    answer(agent, Job.objects.get(), b"", state="failed", result=None, reason="engine_down", message="It is down.")
    assert fetch(url) == (200, f"The log of instance {instance.pk} could not be read: It is down.\n")


def offline(instance: Instance) -> None:
    machine_mark_offline(machine_id=instance.machine_id, last_seen_at=T0, now=T0 + timedelta(minutes=5))
    assert not Machine.objects.get(pk=instance.machine_id).online


def test_a_machine_that_is_away_is_told(api: Api, instance: Instance) -> None:
    offline(instance)
    refused = api.put(f"/instances/request_logs/{instance.pk}/")
    assert (refused.status, refused.error) == (409, "machine_offline")
    assert "can't be reached" in refused.json["msg"]
    assert api.put(f"/instances/command/{instance.pk}/", LS).error == "machine_offline"
    assert api.put(f"/instances/request_logs/{instance.pk}/", {"daemon_logs": "true"}).status == 200


@pytest.mark.parametrize(
    "body",
    [{"tail": "x"}, {"tail": -1}, {"tail": 0}, {"tail": 10**9}, {"filter": "x" * 201}, {"daemon_logs": [1]}],
)
def test_nonsense_is_refused(api: Api, instance: Instance, body: dict[str, Any]) -> None:
    assert api.put(f"/instances/request_logs/{instance.pk}/", body).error == "invalid_args"


def test_the_log_of_what_was_destroyed_is_kept_for_a_day(
    api: Api, stranger: Api, agent: TestAgent, instance: Instance, clock: time_machine.Traveller
) -> None:
    instance_destroy(instance_id=instance.pk, actor=instance.client, now=T0)
    agent.obey(T0)
    path = f"/instances/request_logs/{instance.pk}/"
    assert fetch(api.put(path).json["result_url"])[1] == f"Instance {instance.pk} has written nothing.\n"
    machine = agent.machine
    log_keep(machine=machine, task_id=instance.task_id, container="a1", content=zlib.compress(b"kept\n"), now=T0)
    assert fetch(api.put(path).json["result_url"]) == (200, "kept\n")
    assert stranger.put(path).error == "no_such_instance"
    assert api.put(f"/instances/command/{instance.pk}/", LS).error == "no_such_instance"
    clock.shift(timedelta(hours=24, seconds=1))
    assert api.put(path).error == "no_such_instance"


# --- commands ---------------------------------------------------------------------------------------------------

LS = {"command": "ls"}


def test_a_command_and_its_output(api: Api, agent: TestAgent, instance: Instance) -> None:
    asked = api.put(f"/instances/command/{instance.pk}/", {"command": " ls -l /root\r\n"})
    assert (asked.status, asked.json["success"], asked.json["writeable_path"]) == (200, True, "/root")
    url = asked.json["result_url"]
    assert fetch(url)[0] == 202
    job = Job.objects.get()
    assert job.arguments == {"command": "ls -l /root", "disk_gb": 10}
    answer(agent, job, b"total 0\n")
    assert fetch(url) == (200, "total 0\n")
    event = instance.events.get(kind="command")
    assert (event.actor_id, event.message) == (instance.client_id, "ls -l /root")


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"result": {"exit_code": 3}}, "out\n[exit code 3]\n"),
        ({"result": {"exit_code": None}, "message": "Ended after 30 seconds."}, "out\n[Ended after 30 seconds.]\n"),
        ({"state": "failed", "result": None, "message": "No shell."}, "No shell.\n"),
    ],
)
def test_how_a_command_ended(api: Api, agent: TestAgent, instance: Instance, facts: dict[str, Any], shown: str) -> None:
    url = api.put(f"/instances/command/{instance.pk}/", LS).json["result_url"]
    answer(agent, Job.objects.get(), b"out", **facts)
    assert fetch(url) == (200, shown)


@pytest.mark.parametrize("command", ["", "  \n", None, 5, ["ls"], "x" * 4001, "a\0b"])
def test_a_command_that_is_none_is_refused(api: Api, instance: Instance, command: object) -> None:
    assert api.put(f"/instances/command/{instance.pk}/", {"command": command}).error == "invalid_args"
    assert not Job.objects.exists()
    assert not instance.events.filter(kind="command").exists()


def test_commands_work_when_it_runs_or_is_stopped(api: Api, agent: TestAgent, instance: Instance) -> None:
    path = f"/instances/command/{instance.pk}/"
    instance_stop(instance_id=instance.pk, actor=instance.client, now=T0)
    assert api.put(path, LS).error == "wrong_state"
    agent.obey(T0)
    assert Task.objects.get(pk=instance.task_id).observed_phase == "stopped"
    assert api.put(path, LS).status == 200


def test_not_before_it_has_begun(api: Api, agent: TestAgent, client_user: User) -> None:
    made = instance_rent(client=client_user, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    refused = api.put(f"/instances/command/{made.pk}/", LS)
    assert (refused.status, refused.error) == (409, "wrong_state")
    assert "loading" in refused.json["msg"]


def test_a_few_at_a_time(api: Api, instance: Instance) -> None:
    path = f"/instances/command/{instance.pk}/"
    for _ in range(jobs.KINDS[jobs.EXECUTE].most_open):
        assert api.put(path, LS).status == 200
    assert (api.put(path, LS).status, api.put(path, LS).error) == (429, "too_many_jobs")
