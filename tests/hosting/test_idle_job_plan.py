"""Which idle containers should run: a pure decision."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from hosting.domain.idle_jobs import Action, IdleContainer, plan
from tests.plumbing.market import T0


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[IdleContainer], set[int], set[int]]:
    """Containers on up to five GPUs, at most one of them current on each, and claims that don't contradict them."""
    gpu_ids = range(draw(st.integers(0, 5)))
    containers: list[IdleContainer] = []
    held: set[int] = set()
    for gpu_id in gpu_ids:
        current = draw(st.booleans())
        for number in range(draw(st.integers(0, 2))):
            runs = draw(st.booleans())
            holds = gpu_id not in held and (runs or draw(st.booleans()))
            held |= {gpu_id} if holds else set()
            containers.append(
                IdleContainer(
                    task_id=len(containers),
                    gpu_id=gpu_id,
                    runs=runs and holds,
                    is_current=current and number == 0,
                    holds_gpu=holds,
                    not_before=draw(st.sampled_from([None, T0, T0 + timedelta(seconds=1)])),
                )
            )
    wanted = draw(st.sets(st.sampled_from(gpu_ids))) if gpu_ids else set()
    free = set(draw(st.sets(st.sampled_from(gpu_ids)))) - held if gpu_ids else set()
    return containers, set(wanted), free


@given(situations())
def test_the_plan(situation: tuple[list[IdleContainer], set[int], set[int]]) -> None:
    containers, wanted, free = situation
    found = plan(containers, gpu_ids=wanted, free_gpu_ids=free, now=T0)
    by_id = {container.task_id: container for container in containers}
    starts = [by_id[pk].gpu_id for pk, action in found.actions.items() if action is Action.RUN] + found.create_on
    assert len(starts) == len(set(starts))
    assert set(starts) <= wanted
    for container in containers:
        action = found.actions.get(container.task_id)
        if not container.is_current:
            assert action is Action.REMOVE
        elif container.gpu_id not in wanted:
            assert action is (Action.STOP if container.runs else None)
        elif action is Action.RUN:
            assert not container.runs
            assert container.holds_gpu or container.gpu_id in free
            assert container.not_before is None or container.not_before <= T0
    assert set(found.create_on) <= free - {c.gpu_id for c in containers if c.is_current}
