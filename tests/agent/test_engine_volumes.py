"""A client's volume on the real engine: it outlives its container, and goes when the server says so."""

import pytest

from agent.volume_protocol import DesiredVolume, VolumeMount
from tests.agent.fakes import changed
from tests.agent.host import Host

pytestmark = pytest.mark.engine

VOLUME = DesiredVolume(volume_id=5, label="V.5", state="present", size_gb=1, may_create=True)
GONE = DesiredVolume(volume_id=5, label="V.5", state="removed", size_gb=1)


def test_what_one_instance_writes_the_next_one_reads(host: Host) -> None:
    first = host.args_task(
        "echo kept >/data/file; exec sleep 1000",
        1,
        volumes=[VolumeMount(volume_id=5, path="/data")],
        stop_grace_seconds=0,
    )
    host.market.keep(VOLUME)
    host.market.desire(first)
    host.start()
    host.market.await_phase(1, "running")
    host.market.await_volume(5, "present")
    host.market.await_that(lambda: host.execute("ls", "/data") == "file\n")

    # Even when told so, nothing that a container has is deleted.
    host.market.keep(GONE)
    host.market.keep(VOLUME)
    host.market.await_volume(5, "present")
    host.market.desire(changed(first, state="removed"))
    host.market.await_phase(1, "removed")
    (kept,) = host.client_volumes()

    host.kill()
    second = host.args_task(
        "exec sleep 1000", 2, volumes=[VolumeMount(volume_id=5, path="/elsewhere")], stop_grace_seconds=0
    )
    host.market.desire(second)
    host.start()
    host.market.await_phase(2, "running")
    assert host.execute("cat", "/elsewhere/file", task_id=2) == "kept\n"
    assert [volume.name for volume in host.client_volumes()] == [kept.name]

    host.market.keep(GONE)
    host.market.desire(changed(second, state="removed"))
    host.market.await_phase(2, "removed")
    host.market.keep(GONE)
    host.market.await_volume(5, "removed")
    assert host.client_volumes() == []


def test_a_rented_volume_is_as_large_as_what_was_rented(host: Host) -> None:
    host.market.keep(VOLUME)
    host.market.desire(host.args_task("exec sleep 1000", volumes=[VolumeMount(volume_id=5, path="/data")]))
    host.start()
    host.market.await_phase(1, "running")
    write = "dd if=/dev/zero of=/data/big bs=1M count=1200 2>&1; stat -c %s /data/big"
    _, output = host.container().exec_run(["sh", "-c", write])
    assert isinstance(output, bytes)
    assert b"No space left on device" in output
    assert 1024 <= int(output.split()[-1]) >> 20 < 1024 + 90
    assert host.execute("sh", "-c", "rm /data/big; echo fits >/data/file; cat /data/file") == "fits\n"
    assert host.container().status == "running"
