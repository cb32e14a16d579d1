"""Pins everything that the agent needs on a host, with the digests that its files must have.

    python -m scripts.agent_lock        writes agent/requirements.lock anew, after agent/requirements.txt changed

Where the server pins the same package, hosts get the same version.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "agent" / "requirements.lock"
_HEAD = "# requirements.txt and what that needs, with the digest of each file: python -m scripts.agent_lock\n"
_OLDEST_PYTHON = "3.11"


def main() -> int:
    """The command line."""
    server = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line for line in server if re.fullmatch(r"[a-z0-9-]+==\S+", line)]
    with tempfile.TemporaryDirectory() as work:
        constraints = Path(work) / "constraints.txt"
        constraints.write_text("\n".join(pins))
        options = ["--generate-hashes", "--universal", "--no-annotate", "--no-header", "--quiet"]
        options += ["--python-version", _OLDEST_PYTHON, "--constraint", str(constraints)]
        uv = str(Path(sys.executable).with_name("uv"))
        command = [uv, "pip", "compile", "agent/requirements.txt", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        return 1
    LOCK.write_text(_HEAD + for_linux(done.stdout))
    return 0


def for_linux(lock: str) -> str:
    """Without what other systems need, and without lines that name this machine's index."""
    blocks = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)
    kept = [block for block in blocks if "==" in block and "'win32'" not in block.splitlines()[0]]
    return "".join(kept)


if __name__ == "__main__":
    sys.exit(main())
