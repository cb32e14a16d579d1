"""Sandboxes, as agents and the marketplace name them."""

from typing import Literal

Sandbox = Literal["none", "gvisor", "kata"]
"""What stands between a guest and the host's kernel, beyond the kernel's own walls."""
SANDBOXES: tuple[Sandbox, ...] = ("gvisor", "kata")
