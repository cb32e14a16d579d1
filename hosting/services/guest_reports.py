"""Takes in what a container tells of itself: its SSH server's keys and how its on-start script ended.

It is for the client's eyes only: nothing is decided by it, and the client is root where it comes from.
"""

import re

from agent.protocol import ObservedTask
from hosting.domain.texts import clean
from hosting.models import Task

MOST_HOST_KEYS = 8
OUTPUT_CHARS = 2000
_HOST_KEY = re.compile(r"[a-z0-9@.-]{1,60} SHA256:[A-Za-z0-9+/]{43}")
_MOST_EXIT_CODE = 255


def guest_told(task: Task, observed: ObservedTask) -> list[str]:
    """Put what was told on the task; returns which columns are to be saved.

    Host keys outlive the runs. What is told of the on-start script is about the run observed, or nothing yet.
    """
    if observed.host_keys is not None:
        task.host_keys = [key for key in observed.host_keys[:MOST_HOST_KEYS] if _HOST_KEY.fullmatch(key)]
    code = observed.onstart_exit_code
    task.onstart_exit_code = code if code is not None and 0 <= code <= _MOST_EXIT_CODE else None
    task.onstart_output = clean(observed.onstart_output, OUTPUT_CHARS) if task.onstart_exit_code else ""
    return ["host_keys", "onstart_exit_code", "onstart_output"]
