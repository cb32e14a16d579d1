"""Which build of our programs a machine gets: one for every machine that meets the published requirements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from dlperf.catalogue import gpu_models
from hosting.domain.requirements import MINIMUMS
from hosting.domain.torch_builds import BUILDS, any_image, build_for, image_for
from hosting.errors import HostingError
from hosting.models import Gpu, Machine, Measurement
from hosting.services.challenge_sweeps import challenge_ask, challenges_ask_due
from hosting.services.measurement_sweeps import measurements_sweep
from hosting.services.measuring import benchmark_ask
from tests.hosting.challenging import after, machine_of
from tests.plumbing import market
from tests.plumbing.benchmarks import seen, the_task
from tests.plumbing.market import TestAgent

LEAST = {minimum.title: minimum.least for minimum in MINIMUMS}
LEAST_CAPABILITY, LEAST_CUDA = LEAST["Compute capability of each GPU"], LEAST["CUDA version of the driver"]


@pytest.mark.parametrize("model", gpu_models().values(), ids=lambda model: model.name)
def test_every_model_of_the_catalogue_has_a_build_with_the_oldest_driver_that_knows_it(model: object) -> None:
    assert build_for(float(model.compute_capability), LEAST_CUDA)  # type: ignore[attr-defined]  # of the catalogue


@given(st.floats(LEAST_CAPABILITY, 12.9), st.floats(LEAST_CUDA, 14))
def test_whatever_meets_the_published_requirements_has_a_build(capability: float, cuda: float) -> None:
    assert build_for(capability, cuda) in {build.cuda for build in BUILDS}


@pytest.mark.parametrize(
    ("capability", "cuda", "build"),
    [
        (6.1, 12.2, "cu126"),
        (7.0, 13.0, "cu126"),
        (7.5, 12.0, "cu128"),
        (8.9, 12.4, "cu128"),
        (12.0, 12.8, "cu128"),
        (5.2, 12.4, "cu126"),
        (8.6, 11.8, ""),
        (13.0, 14.0, ""),
        (0.0, 12.4, ""),
    ],
)
def test_a_build_has_the_gpus_architecture_and_suits_the_driver(capability: float, cuda: float, build: str) -> None:
    assert build_for(capability, cuda) == build
    assert image_for("r/dlperf:2-{cuda}", capability, cuda) == (f"r/dlperf:2-{build}" if build else "")
    assert image_for("r/dlperf:2", capability, cuda) == "r/dlperf:2"
    assert any_image("r/dlperf:2-{cuda}") == "r/dlperf:2-cu128"


def with_gpus(capability: str, cuda: str) -> TestAgent:
    agent = machine_of()
    Gpu.objects.filter(machine=agent.machine).update(compute_capability=capability)
    Machine.objects.filter(pk=agent.machine.pk).update(cuda_version=cuda)
    return agent


@pytest.mark.django_db
class TestMachines:
    """What they are given to run."""

    @pytest.fixture(autouse=True)
    def _builds(self, settings: Settings, tiny_challenges: None) -> None:  # noqa: ARG002  # which sets another image
        settings.DLPERF_IMAGE = "r/dlperf:2-{cuda}"

    @pytest.mark.parametrize(("capability", "build"), [("6.1", "cu126"), ("12.0", "cu128")])
    def test_benchmark_and_challenge_are_of_the_build_that_the_gpus_can_use(self, capability: str, build: str) -> None:
        agent = with_gpus(capability, "12.8")
        for number, ask in enumerate((benchmark_ask, challenge_ask)):
            ask(machine_id=agent.machine.pk, host=agent.machine.host, now=after(number))
            assert the_task(agent).spec["image"] == f"r/dlperf:2-{build}"
            Measurement.objects.all().delete()
            Gpu.objects.get(machine=agent.machine, index=0).claims.all().delete()
            Gpu.objects.get(machine=agent.machine, index=1).claims.all().delete()

    def test_a_machine_without_a_build_is_asked_nothing_and_its_host_told_why(self) -> None:
        agent = with_gpus("8.6", "11.8")
        assert measurements_sweep(now=after(10)) == challenges_ask_due(now=after(10)) == 0
        for ask in (benchmark_ask, challenge_ask):
            with pytest.raises(HostingError) as refused:
                ask(machine_id=agent.machine.pk, host=agent.machine.host, now=after(20))
            assert "driver 525.60.13 or newer" in refused.value.message

    def test_gpus_that_torch_can_not_use_are_told_with_a_remedy(self) -> None:
        agent = with_gpus("8.6", "12.4")
        benchmark_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=after(10))
        agent.report(after(20), seen(the_task(agent), "exited", exit_code=3, reason="exited", message="Status 3."))
        run = Measurement.objects.get()
        assert (run.state, run.problem) == ("failed", "unsupported_gpu")
        assert "driver 525.60.13 or newer" in run.message
        agent.obey(after(21))
        measurements_sweep(now=after(3600))
        assert Measurement.objects.count() == 1

        same = [market.gpu(gpu.index, uuid=gpu.uuid) for gpu in agent.machine.gpus.order_by("index")]
        mended = market.inventory(
            2, gpus=same, hostname=agent.machine.hostname, simulated=False, driver_version="570.1", cuda_version="12.8"
        )
        agent.report(after(3700), inventory=mended)
        measurements_sweep(now=after(3800))
        assert Measurement.objects.count() == 2
