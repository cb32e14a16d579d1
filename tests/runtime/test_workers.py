"""Which of Celery's workers does which tasks."""

from collections.abc import Iterable

import pytest

from marketplace.celery import app
from scripts.demo import programs

WORKERS = {"worker": programs.worker(), "clearing": programs.clearing()}


def queues(command: Iterable[str]) -> set[str]:
    """The queues that the worker of that command line takes tasks from."""
    named = [option.removeprefix("--queues=") for option in command if option.startswith("--queues=")]
    return {name for option in named for name in option.split(",")} or {app.conf.task_default_queue}


def ours() -> list[str]:
    """The names of all tasks that an app of ours defines."""
    app.loader.import_default_modules()
    return sorted(name for name in app.tasks if not name.startswith("celery."))


def queue_of(task: str) -> str:
    """Where a message for that task goes."""
    return str(app.amqp.router.route({}, task)["queue"].name)


@pytest.mark.parametrize("task", ours())
def test_every_task_has_one_worker(task: str) -> None:
    assert sum(queue_of(task) in queues(command) for command in WORKERS.values()) == 1


def test_nothing_else_keeps_the_auction_waiting() -> None:
    assert [task for task in ours() if queue_of(task) in queues(WORKERS["clearing"])] == [
        "marketplace.tasks.clear_dirty_machines"
    ]
