"""Volumes as the command-line client shows them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from billing.domain.money import MICROS_PER_DOLLAR
from hosting.domain import volumes as rules
from hosting.models import Volume, VolumeMount

_STATUS = {rules.READY: "running", rules.CREATING: "creating", rules.DELETING: "deleting", rules.FAILED: "error"}
UNKNOWN_USE = -1.0


def volume_json(volume: Volume, instance_ids: Sequence[int], now: datetime) -> dict[str, Any]:
    """One volume. Sizes in GB, prices in dollars, times in seconds since 1970."""
    machine = volume.machine
    used = UNKNOWN_USE if volume.used_mb is None else volume.used_mb / 1000
    return {
        "id": volume.pk,
        "cluster_id": None,
        "label": volume.name,
        "name": volume.label or None,
        "type": "local_volume",
        "disk_space": volume.size_gb,
        "disk_usage": used,
        "disk_name": machine.disk_name,
        "status": _STATUS.get(volume.state, volume.state),
        "state": volume.state,
        "error": volume.message or None if volume.state == rules.FAILED else None,
        "machine_id": volume.machine_id,
        "host_id": machine.host_id,
        "hostname": machine.hostname,
        "driver_version": machine.driver_version,
        "inet_up": machine.inet_up_mbps,
        "inet_down": machine.inet_down_mbps,
        "reliability2": machine.reliability,
        "verification": machine.verification,
        "geolocation": machine.geolocation,
        "public_ipaddr": machine.public_address,
        "start_date": volume.created_at.timestamp(),
        "end_date": volume.end_at.timestamp(),
        "duration": (now - volume.created_at).total_seconds(),
        "storage_cost": volume.storage_micros_per_gb_month / MICROS_PER_DOLLAR,
        "storage_total_cost": volume.storage_micros_per_hour / MICROS_PER_DOLLAR,
        "instances": list(instance_ids),
    }


def mount_json(mounts: Iterable[VolumeMount]) -> list[dict[str, Any]]:
    """``volume_info`` of an instance."""
    return [
        {
            "id": mount.volume_id,
            "name": mount.volume.label or None,
            "mount_path": mount.path,
            "total_space": mount.volume.size_gb,
            "avail_space": max(0.0, mount.volume.size_gb - (mount.volume.used_mb or 0) / 1000),
        }
        for mount in sorted(mounts, key=lambda mount: mount.path)
    ]


def offer_as_volume(offer: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the whole machine, as an offer of its disk: without prices of GPUs."""
    left_out = ("dph", "min_bid", "discount", "bundle", "search", "instance", "is_bid", "rentable", "rented")
    kept = {name: value for name, value in offer.items() if not name.startswith(left_out)}
    return kept | {"type": "local_volume", "rentable": True}
