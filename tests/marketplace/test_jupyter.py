"""Launch mode Jupyter: what is rented, what an agent is told, and what it tells."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import JupyterReport, JupyterSpec, ObservedTask
from hosting.selectors import desired_state
from marketplace.domain.jupyter import opening_url, shares_cookies, tunnel_url, web_host
from marketplace.domain.rent import RentRequest, problems
from marketplace.errors import MarketError
from marketplace.models import Instance, User
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine()


@pytest.fixture
def client() -> User:
    return market.user("client@example.com", dollars=100)


def rent(agent: TestAgent, client: User, **wish: object) -> Instance:
    asked = market.wish(**({"mode": "jupyter", "runtype": "jupyter"} | wish))
    return instance_rent(client=client, offer_id=market.offer(agent).pk, request=asked, now=T0)


def test_to_the_agent_it_is_ssh_with_jupyter_besides(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client, use_jupyter_lab=True, jupyter_dir="/work")
    (task,) = desired_state(agent.machine.pk).tasks
    assert (task.spec.mode, task.spec.jupyter) == ("ssh", JupyterSpec(lab=True, directory="/work"))
    assert [port.container_port for port in task.spec.ports] == [22, 8080]
    assert task.spec.env["JUPYTER_TOKEN"] == instance.jupyter_token != ""
    assert instance.ssh_port == task.spec.ports[0].host_port


def test_without_a_directory_it_shows_everything(agent: TestAgent, client: User) -> None:
    rent(agent, client, ports=((8080, "tcp"), (9000, "tcp")))
    (task,) = desired_state(agent.machine.pk).tasks
    assert task.spec.jupyter == JupyterSpec(lab=False, directory="/")
    assert [port.container_port for port in task.spec.ports] == [22, 8080, 9000]


def test_other_modes_have_no_jupyter(agent: TestAgent, client: User) -> None:
    rent(agent, client, mode="ssh", runtype="ssh")
    (task,) = desired_state(agent.machine.pk).tasks
    assert task.spec.jupyter is None


def test_an_agent_that_can_not_is_not_asked(agent: TestAgent, client: User) -> None:
    agent.abilities = []
    agent.report(T0)
    with pytest.raises(MarketError, match="too old for the launch mode Jupyter") as refused:
        rent(agent, client)
    assert (refused.value.code, refused.value.field, refused.value.status) == ("no_jupyter", "mode", 409)
    assert not Instance.objects.exists()
    rent(agent, client, mode="ssh")


def test_what_the_agent_tells_is_kept_for_this_run(agent: TestAgent, client: User) -> None:
    instance = rent(agent, client)
    told = ObservedTask(task_id=instance.task_id, phase="running", run_generation=1, age_seconds=0.0)
    assert tell(agent, told) == ("", "")
    assert tell(agent, told, JupyterReport(state="installing", message="pip works")) == ("installing", "pip works")
    assert tell(agent, told, JupyterReport(state="ready")) == ("ready", "")
    instance_stop(instance_id=instance.pk, actor=client, now=T0)
    agent.obey(T0 + timedelta(seconds=5))
    instance.task.refresh_from_db()
    assert (instance.task.jupyter_state, instance.task.jupyter_message) == ("", "")


def tell(agent: TestAgent, told: ObservedTask, jupyter: JupyterReport | None = None) -> tuple[str, str]:
    """What is known of Jupyter after this report."""
    observed = ObservedTask(
        task_id=told.task_id, phase=told.phase, run_generation=told.run_generation, age_seconds=0.0, jupyter=jupyter
    )
    agent.report(T0, observed)
    task = Instance.objects.get(task_id=told.task_id).task
    return task.jupyter_state, task.jupyter_message


@pytest.mark.parametrize("directory", ["work", "~/work", "/a\nb", "/" + "x" * 1024])
def test_a_directory_that_is_none_is_refused(directory: str) -> None:
    assert "jupyter_dir" in problems(RentRequest(image="x", disk_gb=10, mode="jupyter", jupyter_dir=directory))


@pytest.mark.parametrize("directory", ["", "/", "/work space/ü"])
def test_any_absolute_path_is_a_directory(directory: str) -> None:
    assert problems(RentRequest(image="x", disk_gb=10, mode="jupyter", jupyter_dir=directory)) == {}


def test_the_addresses() -> None:
    assert opening_url("relay.example", 10000, "a+b") == "https://relay.example:10000/login?next=%2F&token=a%2Bb"
    assert opening_url("2001:db8::1", 10000, "t").startswith("https://[2001:db8::1]:10000/")
    assert tunnel_url("abc") == "http://localhost:8080/?token=abc"
    assert web_host("{id}.relay.example", 12) == "12.relay.example"
    assert web_host("relay.example", 12) == "relay.example"


@given(st.integers(1, 65535), st.sampled_from(["gpu.example", "GPU.example", "127.0.0.1"]))
def test_a_name_has_the_same_cookies_on_every_port(port: int, host: str) -> None:
    assert shares_cookies(f"http://{host.lower()}:{port}", host)
    assert not shares_cookies(f"http://relay.{host.lower()}:{port}", host)
