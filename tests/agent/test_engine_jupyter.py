"""Jupyter in real containers: installed where the image has none, again after it was killed and after a restart."""

from pathlib import Path

import pytest
import requests

from agent.protocol import DesiredTask, JupyterReport, JupyterSpec, PortMapping
from scripts.jupyter_image import WHEELS, ensure_images
from scripts.services.launching import free_port
from tests.agent.fakes import changed
from tests.agent.host import Host

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "sesame"
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS, "JUPYTER_TOKEN": TOKEN}
ANSWER_SECONDS = 180


def jupyter_task(host: Host, **changes: object) -> DesiredTask:
    """A task with JupyterLab in /work, and what pip needs in its image."""
    addresses = [free_port(address="0.0.0.0") for _ in range(2)]  # noqa: S104 - as the engine binds
    ports = [
        PortMapping(container_port=inside, host_port=own) for inside, own in zip((22, 8080), addresses, strict=True)
    ]
    wish = host.task(
        image=ensure_images(ROOT / "var" / "cache")[0],
        ports=ports,
        env=OFFLINE,
        ram_mb=1024,
        jupyter=JupyterSpec(lab=True, directory="/work"),
    )
    return changed(wish, **changes)


def await_jupyter(host: Host, wish: DesiredTask, state: str) -> JupyterReport:
    """What the agent tells of it once it has come so far."""
    found: list[JupyterReport] = []

    def reached() -> bool:
        told = host.market.observed(wish.task_id)
        if told is not None and told.run_generation == wish.run_generation and told.jupyter is not None:
            found.append(told.jupyter)
        return bool(found) and found[-1].state == state

    host.market.await_that(reached, ANSWER_SECONDS)
    return found[-1]


def contents(wish: DesiredTask, token: str) -> int:
    """What Jupyter answers to who asks for its files; 0 while nothing answers."""
    url = f"http://127.0.0.1:{wish.spec.ports[1].host_port}/api/contents"
    try:
        return requests.get(url, params={"token": token}, timeout=30).status_code
    except requests.RequestException:
        return 0


def test_it_is_installed_where_there_is_only_python_and_comes_again(host: Host) -> None:
    wish = jupyter_task(host)
    host.start()
    host.market.desire(wish)
    host.market.await_phase(wish.task_id, "running", 1)
    assert "pip installs jupyterlab into it" in await_jupyter(host, wish, "installing").message
    assert host.ssh(wish, "echo meanwhile").stdout == "meanwhile\n"
    await_jupyter(host, wish, "ready")
    assert [contents(wish, TOKEN), contents(wish, "wrong")] == [200, 403]
    assert TOKEN not in host.read("/var/log/jupyter.log")

    assert host.ssh(wish, "pkill -9 -f '[j]upyter-lab'").returncode == 0
    host.market.await_that(lambda: contents(wish, TOKEN) == 200, ANSWER_SECONDS)

    again = changed(wish, run_generation=2)
    host.market.desire(again)
    host.market.await_phase(wish.task_id, "running", 2)
    await_jupyter(host, again, "ready")
    assert contents(again, TOKEN) == 200


def test_settings_in_the_image_do_not_open_it_to_everybody(host: Host) -> None:
    careless = "c.ServerApp.token = c.IdentityProvider.token = ''"
    script = f'mkdir -p /root/.jupyter; echo "{careless}" >/root/.jupyter/jupyter_server_config.py'
    wish = jupyter_task(host, image=ensure_images(ROOT / "var" / "cache")[1], onstart=script)
    host.start()
    host.market.desire(wish)
    host.market.await_phase(wish.task_id, "running", 1)
    await_jupyter(host, wish, "ready")
    assert [contents(wish, TOKEN), contents(wish, "")] == [200, 403]
