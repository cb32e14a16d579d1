"""The agent, ending as by ``kill -9`` when it passes a point: ``python -m tests.agent.killable POINT options``."""

import os
import signal
import sys

from agent.__main__ import main


def run() -> int:
    """The first argument names the point; "never" for none."""
    fatal = sys.argv[1]

    def checkpoint(name: str, _task_id: int) -> None:
        if name == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    return main(sys.argv[2:], checkpoint)


if __name__ == "__main__":
    sys.exit(run())
