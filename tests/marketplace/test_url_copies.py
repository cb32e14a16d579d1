"""Copies from and to URLs: what is asked of the agent, what is kept secret, and what makes no sense."""

from typing import Any

import pytest

from agent.job_protocol import JobReport
from hosting.models import Job
from marketplace.domain.url_copies import S3Object, UrlCopyRequest, problems
from marketplace.errors import MarketError
from marketplace.models import Instance, InstanceEvent
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from marketplace.services.url_copies import url_copy_begin, url_copy_cancel
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

KEYS = {"access_key": "AKIA", "secret_key": "s3cret"}
OBJECT: dict[str, Any] = {"endpoint": "https://s3.example.com/", "bucket": "data", "key": "/a b/c.tar"} | KEYS


def asked(**values: Any) -> UrlCopyRequest:
    return UrlCopyRequest(**({"direction": "download", "path": "/srv/", "url": "https://h/x?sig=SECRET"} | values))


def test_what_is_shown_of_an_address_and_what_its_file_is_called() -> None:
    one = asked(url="https://user:pw@example.com:8443/a/b%20c.tar.gz?X-Amz-Signature=SECRET#f")
    assert one.shown == "https://example.com:8443/a/b%20c.tar.gz"
    assert one.name == "b c.tar.gz"
    assert "SECRET" not in repr(one)
    assert [asked(url=f"https://h{path}").name for path in ("", "/", "/..", "/%2Fetc%2F..%2F")] == [
        "download",
        "download",
        "download",
        "download",
    ]
    thing = S3Object(**OBJECT)
    assert thing.url() == "https://s3.example.com/data/a%20b/c.tar"
    assert "s3cret" not in repr(asked(url="", s3=thing))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"url": ""}, "url"),
        ({"url": "ftp://h/x"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://h/a b"}, "url"),
        ({"url": "https://h:99999/"}, "url"),
        ({"url": "https://[::1/"}, "url"),
        ({"url": "https://h/" + "x" * 9000}, "url"),
        ({"path": "srv"}, "path"),
        ({"direction": "upload", "path": "/srv/"}, "path"),
        ({"direction": "sideways"}, "direction"),
        ({"s3": S3Object(**(OBJECT | {"bucket": "a/b"}))}, "bucket"),
        ({"s3": S3Object(**(OBJECT | {"key": ""}))}, "key"),
        ({"s3": S3Object(**(OBJECT | {"secret_key": ""}))}, "access_key"),
        ({"s3": S3Object(**(OBJECT | {"region": "a b"}))}, "region"),
        ({"s3": S3Object(**(OBJECT | {"endpoint": "s3"}))}, "url"),
    ],
)
def test_what_makes_no_sense_is_named(values: dict[str, Any], field: str) -> None:
    assert field in problems(asked(**values))


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine()


@pytest.fixture
def instance(agent: TestAgent) -> Instance:
    made = instance_rent(
        client=market.user(dollars=100), offer_id=market.offer(agent).pk, request=market.wish(), now=T0
    )
    agent.obey(T0)
    return Instance.objects.get(pk=made.pk)


@pytest.mark.django_db
def test_the_agent_gets_the_keys_and_nobody_else(agent: TestAgent, instance: Instance) -> None:
    request = asked(url="", s3=S3Object(**OBJECT))
    job = url_copy_begin(user=instance.client, instance_id=instance.pk, request=request, now=T0)
    (wanted,) = agent.report(T0).jobs or []
    assert (wanted.kind, wanted.task_id) == ("url", instance.task_id)
    assert wanted.arguments == {
        "direction": "download",
        "path": "/srv/",
        "name": "c.tar",
        "shown": "https://s3.example.com/data/a%20b/c.tar",
        "url": "https://s3.example.com/data/a%20b/c.tar",
        "region": "us-east-1",
        **KEYS,
    }
    kept = f"{Job.objects.values()} {InstanceEvent.objects.values()}"
    assert "AKIA" not in kept
    assert "s3cret" not in kept
    agent.report(T0, jobs=[JobReport(job_id=job.pk, state="failed", reason="http_403", message="No.")])
    job.refresh_from_db()
    assert (job.state, job.message, job.sealed) == ("failed", "No.", "")


@pytest.mark.django_db
def test_one_is_canceled_and_an_instance_that_does_not_run_has_none(agent: TestAgent, instance: Instance) -> None:
    client = instance.client
    job = url_copy_begin(user=client, instance_id=instance.pk, request=asked(), now=T0)
    assert url_copy_cancel(user=client, instance_id=instance.pk, job_id=job.pk, now=T0)
    assert not url_copy_cancel(user=client, instance_id=instance.pk, job_id=job.pk, now=T0)
    assert agent.report(T0).jobs == []
    with pytest.raises(MarketError, match="has no copy"):
        url_copy_cancel(user=client, instance_id=instance.pk, job_id=job.pk + 1, now=T0)
    with pytest.raises(MarketError, match="no instance"):
        url_copy_begin(user=market.user(), instance_id=instance.pk, request=asked(), now=T0)
    instance_stop(instance_id=instance.pk, actor=client, now=T0)
    with pytest.raises(MarketError, match="has to run"):
        url_copy_begin(user=client, instance_id=instance.pk, request=asked(), now=T0)
