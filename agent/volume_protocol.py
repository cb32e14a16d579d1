"""The part of the wire schema that is about volumes: disks of clients on a machine that outlive their containers."""

from typing import Literal

import msgspec

ABILITY_VOLUMES = "volumes"
"""In ``SyncRequest.abilities``: the agent keeps volumes."""

VolumeState = Literal["present", "missing", "removed", "failed"]


class VolumeMount(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of the machine in a container."""

    volume_id: int
    path: str
    """Where it is mounted, absolute."""


class DesiredVolume(msgspec.Struct, frozen=True, kw_only=True):
    """What should be true of one volume.

    One that is not listed is left as it is: nothing is deleted for being absent.
    """

    volume_id: int
    label: str
    """"V.12", for messages."""
    state: Literal["present", "removed"]
    size_gb: int
    """More than this in it ends the containers that have it."""
    may_create: bool = False
    """With ``present``: it may not be there yet. Else its absence is a loss, and no empty one may take its place."""


class ObservedVolume(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of a listed volume. ``missing``: it was there and something other than the agent deleted it."""

    volume_id: int
    state: VolumeState
    used_mb: int | None = None
    """As last measured; None before."""
    message: str = ""
    """With ``failed``: what the engine said."""
