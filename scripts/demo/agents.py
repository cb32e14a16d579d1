"""The demo's agents follow it to another port.

An agent speaks for its machine only to the marketplace that it registered with, and knows that one by its
address. In the demo, `make demo PORT=8100` is the same marketplace at a new address.
"""

import json
from pathlib import Path


def follow(folders: list[Path], server: str) -> None:
    """Point the agents whose state lies in ``folders`` at ``server``. They must not run."""
    for path in (path for folder in folders for path in folder.glob("**/state.json")):
        state = json.loads(path.read_text())
        former = state.get("server")
        if former not in (None, server):
            state["server"] = server
            state["sync_url"] = state["sync_url"].replace(former, server, 1)
            path.write_text(json.dumps(state))
