"""Create Job and Extend: the host's own jobs, and later ends for what is rented."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from agent.protocol import ObservedTask
from hosting.models import IdleJob, Listing, Task
from hosting.services.idle_jobs import idle_job_set
from marketplace.models import Instance, User
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

CREATE = "/host/jobs/create/"


def job(agent: TestAgent, **values: str) -> dict[str, Any]:
    asked = {"image": "ubuntu", "args": "bash -c 'sleep 9'", "price_micros_per_gpu_hour": "0.125"}
    return {"machine_id": agent.machine.pk} | asked | values


def start(agent: TestAgent, now: datetime = T0) -> None:
    """The job runs on all GPUs that nobody holds."""
    asked: dict[str, Any] = {"image": "ubuntu", "args": ["bash"], "price_micros_per_gpu_hour": 125_000}
    idle_job_set(machine_id=agent.machine.pk, host=agent.machine.host, now=now, **asked)


def test_without_machines_there_is_nothing_to_give_a_job(web: Client) -> None:
    assert "No machines yet" in text(web.get(CREATE))


def test_the_form_is_reached_from_navigation_and_card(host_web: Client, agent: TestAgent) -> None:
    html = host_web.get("/host/machines/").content.decode()
    assert f'href="{CREATE}"' in html
    assert f'href="{CREATE}?machine={agent.machine.pk}"' in html


def test_a_job_is_created_exactly_as_written(host_web: Client, agent: TestAgent) -> None:
    answer = host_web.post(CREATE, job(agent), follow=True)
    assert answer.redirect_chain == [(CREATE, 302)]
    assert "Machine" in text(answer)
    found = IdleJob.objects.get()
    assert (found.image, found.args) == ("ubuntu", ["bash", "-c", "sleep 9"])
    assert (found.price_micros_per_gpu_hour, found.active) == (125_000, True)
    shown = text(host_web.get(CREATE))
    assert "ubuntu bash -c 'sleep 9'" in shown
    assert "$0.125 per GPU-hour" in shown


def test_the_form_shows_the_present_job(host_web: Client, agent: TestAgent) -> None:
    host_web.post(CREATE, job(agent))
    html = host_web.get(f"{CREATE}?machine={agent.machine.pk}").content.decode()
    for value in ('value="ubuntu"', 'value="bash -c &#x27;sleep 9&#x27;"', 'value="0.125"'):
        assert value in html, value


@pytest.mark.parametrize("machine", ["", "0", "x", "9999999999999999999999"])
def test_a_machine_that_is_none_is_not_preselected(host_web: Client, machine: str) -> None:
    assert host_web.get(CREATE, {"machine": machine}).status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("machine_id", "", "This field is required."),
        ("machine_id", "999999999", "is not one of the available choices"),
        ("machine_id", "x", "is not one of the available choices"),
        ("image", "", "Name the image to run"),
        ("image", "no image!", "is not an image name"),
        ("image", "x\0y", "Null characters are not allowed."),
        ("args", "bash -c 'oops", "can't be split into words"),
        ("args", "x " * 257, "At most 256 arguments."),
        ("price_micros_per_gpu_hour", "", "This field is required."),
        ("price_micros_per_gpu_hour", "-1", "between $0 and $1000"),
        ("price_micros_per_gpu_hour", "0.51", "must not be above"),
        ("price_micros_per_gpu_hour", "1e3", "is not an amount in dollars"),
        ("price_micros_per_gpu_hour", "NaN", "is not an amount in dollars"),
        ("price_micros_per_gpu_hour", "9" * 40, "is not an amount in dollars"),
    ],
)
def test_nonsense_is_named_beside_its_field(
    host_web: Client, agent: TestAgent, field: str, value: str, message: str
) -> None:
    answer = host_web.post(CREATE, job(agent, **{field: value}))
    assert answer.status_code == 422
    assert message in field_errors(answer, field)
    assert not IdleJob.objects.exists()


def test_nobody_gives_other_peoples_machines_a_job(web: Client, agent: TestAgent) -> None:
    assert web.post(CREATE, job(agent)).status_code == 422
    assert not IdleJob.objects.exists()
    start(agent)
    assert web.post(f"/host/jobs/{agent.machine.pk}/remove/").status_code == 404
    assert IdleJob.objects.get().active
    assert "ubuntu bash" not in text(web.get("/host/jobs/"))


def test_state_of_the_job(host_web: Client, agent: TestAgent, renter: User) -> None:
    instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    start(agent)
    assert "Starting on 3 1 rented" in text(host_web.get("/host/jobs/"))
    agent.obey(T0)
    assert "Running on 3 of 4 GPUs 1 rented" in text(host_web.get("/host/jobs/"))
    task = Task.objects.filter(kind="idle_job").first()
    assert task is not None
    said = "The main process ended with exit code 3."
    agent.report(
        T0, ObservedTask(task_id=task.pk, phase="exited", run_generation=1, age_seconds=0, exit_code=3, message=said)
    )
    shown = text(host_web.get("/host/jobs/"))
    assert "Running on 2 of 4 GPUs" in shown
    assert f"On 1 GPU: {said} It starts again 60 seconds after its end." in shown


def test_an_idle_job_leaves_its_gpus_free(host_web: Client, agent: TestAgent) -> None:
    start(agent)
    agent.obey(T0)
    cards = text(host_web.get("/host/machines/"))
    assert "0 of 4 GPUs" in cards
    assert "bids from $0.125 per GPU-hour" in cards
    assert "idle job ubuntu at $0.125 per GPU-hour" in cards
    page = text(host_web.get(f"/host/machines/{agent.machine.pk}/"))
    assert page.count("Free, idle job") == 4
    assert "Least bid $0.125 per GPU-hour" in page


def test_remove(host_web: Client, agent: TestAgent) -> None:
    start(agent)
    for _ in range(2):
        answer = host_web.post(f"/host/jobs/{agent.machine.pk}/remove/", follow=True)
        assert "No idle jobs." in text(answer)
    assert not IdleJob.objects.get().active
    assert host_web.get(f"/host/jobs/{agent.machine.pk}/remove/").status_code == 405


def test_the_minimum_bid_is_set_with_the_prices(host_web: Client, agent: TestAgent) -> None:
    path = f"/host/machines/{agent.machine.pk}/prices/"
    terms = {
        "gpu_micros_per_hour": "0.50",
        "storage_micros_per_gb_month": "0.10",
        "inet_up_micros_per_gb": "0.01",
        "inet_down_micros_per_gb": "0.01",
        "min_gpus": "1",
        "end_at": "2026-05-31",
    }
    for typed, stored in (("0.2", 200_000), ("0", 0), ("0.5", 500_000), ("", 0)):
        assert host_web.post(path, terms | {"min_bid_micros_per_gpu_hour": typed}, headers=HTMX).status_code == 204
        assert Listing.objects.get().min_bid_micros_per_gpu_hour == stored
    for typed, message in (("0.51", "between $0 and the on-demand price"), ("-1", "between $0"), ("x", "dollars")):
        refused = host_web.post(path, terms | {"min_bid_micros_per_gpu_hour": typed}, headers=HTMX)
        assert refused.status_code == 422
        assert message in field_errors(refused, "min_bid_micros_per_gpu_hour")


def extend_path(agent: TestAgent) -> str:
    return f"/host/machines/{agent.machine.pk}/extend/"


def test_extend_tells_whom_it_concerns_and_does_it(host_web: Client, agent: TestAgent, renter: User) -> None:
    assert "Nobody rents this machine now" in text(host_web.get(extend_path(agent)))
    for _ in range(2):
        instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    Instance.objects.filter(pk=Instance.objects.latest("pk").pk).update(end_at=T0 + timedelta(days=200))
    dialog = host_web.get(extend_path(agent), headers=HTMX)
    shown = text(dialog)
    assert "2 contracts on this machine: the first ends 31 May 2026 12:00 UTC , the last 18 Sep 2026 12:00 UTC" in shown
    assert "keeps its price" in shown
    assert b'value="2026-10-18"' in dialog.content
    answer = host_web.post(extend_path(agent), {"end_at": "2026-06-30"}, headers=HTMX)
    assert answer.status_code == 204
    assert "1 contract extended through 2026-06-30." in text(host_web.get("/host/machines/"))
    assert sorted(Instance.objects.values_list("end_at", flat=True)) == [
        datetime.fromisoformat("2026-07-01T00:00:00+00:00"),
        T0 + timedelta(days=200),
    ]
    host_web.post(extend_path(agent), {"end_at": "2026-06-01"})
    assert "No contract ends before 2026-06-01; none was changed." in text(host_web.get("/host/machines/"))


@pytest.mark.parametrize(
    ("end_at", "message"),
    [
        ("", "This field is required."),
        ("soon", "Enter a valid date."),
        ("2026-03-01", "must be in the future"),
        ("2031-01-01", "within three years"),
        ("9999-12-31", "This day is too far away."),
    ],
)
def test_new_ends_that_make_no_sense(host_web: Client, agent: TestAgent, end_at: str, message: str) -> None:
    answer = host_web.post(extend_path(agent), {"end_at": end_at}, headers=HTMX)
    assert answer.status_code == 422
    assert message in field_errors(answer, "end_at")


def test_nobody_extends_on_other_peoples_machines(web: Client, agent: TestAgent) -> None:
    assert web.get(extend_path(agent)).status_code == 404
    assert web.post(extend_path(agent), {"end_at": "2026-06-30"}).status_code == 404
    assert Listing.objects.get().end_at == T0 + timedelta(days=90)
