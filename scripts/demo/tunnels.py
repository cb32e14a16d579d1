"""The connections of agents to the relay, which outlive agents on purpose."""

import subprocess
from pathlib import Path

_END_SECONDS = 10


def end(folder: Path) -> None:
    """End those of all agents whose state lies below ``folder``. The agents must not run."""
    for socket in folder.glob("**/relay/ctl"):
        command = ["ssh", "-F", "none", "-S", socket.name, "-O", "exit", "relay"]
        # One that is dead has left its socket behind; nothing is to be done then.
        subprocess.run(command, cwd=socket.parent, capture_output=True, timeout=_END_SECONDS, check=False)
