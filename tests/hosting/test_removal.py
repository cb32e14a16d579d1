"""A host removes a machine: what stands in the way, what its agent is told, what stays, and coming back."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import ObservedTask
from hosting.api.agent import machine_of
from hosting.domain.removal import Kept, removal_problem
from hosting.domain.secrets import secret_hash
from hosting.errors import HostingError
from hosting.models import IdleJob, Machine, MachineEvent
from hosting.selectors import desired_state, machines_of
from hosting.services.idle_jobs import idle_job_set
from hosting.services.removal import machine_remove
from hosting.services.suspension import machine_restore, machine_suspend
from hosting.services.verification import machine_set_verification
from hosting.services.verification_cases import case_appeal, case_decide, case_open
from marketplace.models import AuditEntry, Offer, User
from marketplace.services.keys import api_key_create
from marketplace.services.lifecycle import instance_destroy
from marketplace.services.rent import instance_rent
from marketplace.services.volumes import volume_delete, volume_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

HOUR = timedelta(hours=1)


def credential_of(agent: TestAgent) -> str:
    """Give the machine a credential that is known here."""
    Machine.objects.filter(pk=agent.machine.pk).update(credential_hash=secret_hash("known"))
    return "known"


def refusal_of(agent: TestAgent) -> str:
    with pytest.raises(HostingError) as refused:
        machine_remove(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)
    return f"{refused.value.code} {refused.value.status}: {refused.value.message}"


@pytest.mark.django_db
def test_what_clients_have_stands_in_the_way() -> None:
    agent = market.listed_machine()
    renter = market.user(dollars=10)
    instance = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    assert refusal_of(agent).startswith(
        "machine_in_use 409: Clients have 1 instance on this machine. The last contract ends at 2026-05-31 12:00 UTC."
    )
    assert Offer.objects.filter(machine=agent.machine, retired_at=None).exists()
    instance_destroy(instance_id=instance.pk, actor=renter, now=T0)
    machine_remove(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)  # its agent may be gone for ever
    assert [task.state for task in desired_state(agent.machine.pk).tasks] == ["removed"]


@pytest.mark.django_db
def test_a_removed_machine_is_off_the_market_and_the_pages_with_its_history_kept() -> None:
    agent = market.listed_machine()
    host = agent.machine.host
    machine_remove(machine_id=agent.machine.pk, host=host, now=T0 + HOUR)
    assert not Offer.objects.filter(machine=agent.machine, retired_at=None).exists()
    assert not machines_of(host).exists()
    assert MachineEvent.objects.filter(machine=agent.machine, kind="removed", actor=host).count() == 1
    assert AuditEntry.objects.get(action="machine.removed").actor == host
    with pytest.raises(HostingError, match="You have no machine"):
        machine_remove(machine_id=agent.machine.pk, host=host, now=T0 + HOUR)


@pytest.mark.django_db
def test_its_agent_clears_up_before_it_is_sent_away() -> None:
    agent = market.listed_machine(gpus=1)
    machine, host = agent.machine, agent.machine.host
    idle_job_set(machine_id=machine.pk, host=host, image="ubuntu", args=[], price_micros_per_gpu_hour=1, now=T0)
    agent.obey(T0)
    credential = credential_of(agent)
    machine_remove(machine_id=machine.pk, host=host, now=T0 + HOUR)
    assert not IdleJob.objects.get(machine=machine).active
    assert machine_of(credential) == machine
    (idle,) = agent.report(T0 + HOUR).tasks
    assert idle.state == "removed"
    gone = ObservedTask(task_id=idle.task_id, phase="removed", run_generation=idle.run_generation, age_seconds=0.0)
    agent.report(T0 + HOUR, gone)
    with pytest.raises(HostingError) as sent_away:
        machine_of(credential)
    assert (sent_away.value.code, sent_away.value.status) == ("machine_removed", 401)
    machine.refresh_from_db()
    assert (machine.online, machine.removed_at) == (False, T0 + HOUR)


@pytest.mark.django_db
def test_a_volume_that_is_being_deleted_is_waited_for() -> None:
    agent = market.listed_machine()
    machine, owner = agent.machine, market.user(dollars=10)
    volume = volume_rent(client=owner, offer_id=market.offer(agent).pk, size_gb=10, label="data", now=T0)
    agent.keep_volumes(T0)
    volume_delete(user=owner, volume_id=volume.pk, now=T0)
    credential = credential_of(agent)
    machine_remove(machine_id=machine.pk, host=machine.host, now=T0)
    assert machine_of(credential) == machine
    agent.keep_volumes(T0 + HOUR)
    volume.refresh_from_db()
    assert volume.state == "deleted"
    with pytest.raises(HostingError, match="removed this machine"):
        machine_of(credential)


@pytest.mark.django_db
def test_the_same_hardware_may_come_back() -> None:
    facts = market.inventory(2)
    host = market.user()
    first = market.register(host, facts)
    with pytest.raises(HostingError, match="belongs to another registered machine"):
        market.register(host, facts)
    machine_remove(machine_id=first.pk, host=host, now=T0)
    second = market.register(host, facts)
    assert list(machines_of(host)) == [second]
    assert second.gpus.filter(present=True).count() == 2


@pytest.mark.django_db
def test_a_suspended_machine_is_not_removed(client: Client) -> None:
    agent = market.listed_machine()
    machine_suspend(machine_id=agent.machine.pk, actor=None, reason="Stolen hardware.", now=T0)
    assert refusal_of(agent).startswith("machine_held 409: The marketplace has suspended this machine.")
    client.force_login(agent.machine.host)
    page = client.get(reverse("host_remove", args=[agent.machine.pk])).content.decode()
    assert "The marketplace has suspended this machine." in page
    assert 'type="submit"' not in page
    machine_restore(machine_id=agent.machine.pk, actor=None, now=T0)
    machine_remove(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("appealed", "uphold", "said"),
    [(False, None, "is decided"), (True, None, "is decided"), (False, True, "Write to us")],
)
def test_a_machine_that_was_found_out_is_not_removed(*, appealed: bool, uphold: bool | None, said: str) -> None:
    agent, staff = market.listed_machine(), market.user()
    staff.is_staff = True
    host = agent.machine.host
    case = case_open(machine=agent.machine, evidence="Too slow.", now=T0)
    if appealed:
        case_appeal(case_id=case.pk, host=host, text="It was hot.", now=T0)
    if uphold is not None:
        case_decide(case_id=case.pk, staff=staff, uphold=uphold, now=T0)
    assert said in refusal_of(agent)
    if uphold:
        machine_set_verification(
            machine_id=agent.machine.pk, verification="unverified", actor=staff, reason="New GPUs.", now=T0
        )
    else:
        case_decide(case_id=case.pk, staff=staff, uphold=False, now=T0)
    machine_remove(machine_id=agent.machine.pk, host=host, now=T0)


@pytest.mark.django_db
def test_by_page_and_by_api(client: Client) -> None:
    agent, other = market.listed_machine(), market.listed_machine()
    host: User = agent.machine.host
    client.force_login(host)
    page = reverse("host_remove", args=[agent.machine.pk])
    assert "leaves the market and your pages for good" in client.get(page).content.decode()
    assert client.get(reverse("host_remove", args=[other.machine.pk])).status_code == 404
    assert client.post(page, follow=True).redirect_chain == [(reverse("host_machines"), 302)]
    third = market.listed_machine(host)
    _, key = api_key_create(user=host, name="laptop", now=T0)
    headers = {"Authorization": f"Bearer {key}"}
    address = f"/api/v0/machines/{third.machine.pk}/force_delete/"
    assert client.post(address, headers=headers).json()["success"]
    assert client.post(address, headers=headers).status_code == 404


@given(st.integers(0, 3), st.integers(0, 3), st.lists(st.integers(-48, 48)))
def test_only_what_clients_have_is_a_problem(instances: int, volumes: int, hours: list[int]) -> None:
    ends = tuple(sorted(T0 + timedelta(hours=h) for h in hours))
    problem = removal_problem(Kept(instances, volumes, ends), T0)
    assert bool(problem) == bool(instances or volumes)
    assert ("last contract" in problem) == (bool(problem) and any(h > 0 for h in hours))
