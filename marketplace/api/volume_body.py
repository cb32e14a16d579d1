"""Volumes in the body of "create instance", in the words of the command-line client."""

import math
import re
from typing import Any

from hosting.domain.volumes import clean_path
from marketplace.api.wire import Fields
from marketplace.domain.query_fields import shown
from marketplace.domain.rent import VolumeWish
from marketplace.errors import MarketError

FIELD = "volume_info"
DEFAULT_SIZE_GB = 15.0
LARGEST_ID = 10**18
_KNOWN = frozenset({"mount_path", "create_new", "volume_id", "name", "size"})
_OPTION = re.compile(r"-v\s+(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63}):(?P<path>/\S*)")


def is_volume_option(option: str) -> bool:
    """Whether a key of ``env`` is docker's option for a volume."""
    return option.split()[:1] == ["-v"]


def volumes_wished(fields: Fields) -> tuple[VolumeWish, ...]:
    """The volumes of ``volume_info``, and of options "-v name:/path" in ``env``.

    Raises MarketError(invalid_args) naming the field.
    """
    options = [name for name in fields.object("env") if is_volume_option(name)]
    info = fields.object(FIELD)
    return (*([_of_info(info)] if info else []), *map(_of_option, options))


def _of_option(option: str) -> VolumeWish:
    match = _OPTION.fullmatch(option.strip())
    if match is None:
        message = (
            f"{shown(option)} is not a volume of yours on a path, like -v my-data:/data. Directories of the host are "
            "never mounted."
        )
        raise MarketError("invalid_args", message, field="env")
    return VolumeWish(path=clean_path(match["path"]), name=match["name"])


def _of_info(info: dict[str, Any]) -> VolumeWish:
    fields = Fields(info)
    fields.refuse_unknown(_KNOWN)
    path = clean_path(fields.text("mount_path").strip())
    if not path:
        raise MarketError("invalid_args", "volume_info needs a mount_path, such as /data.", field=FIELD)
    number = whole(fields, "volume_id") if "volume_id" in fields else None
    if fields.flag("create_new"):
        size_gb = size_of(fields)
        return VolumeWish(path=path, name=fields.text("name").strip(), new_size_gb=size_gb, offer_id=number)
    name = fields.text("name").strip()
    if number is None and not name:
        message = "volume_info needs the volume_id of a volume of yours, or create_new with a size."
        raise MarketError("invalid_args", message, field=FIELD)
    return VolumeWish(path=path, volume_id=number, name="" if number is not None else name)


def size_of(fields: Fields) -> int:
    """The size in whole gigabytes, rounded up."""
    size = fields.number("size", DEFAULT_SIZE_GB) or 0.0
    if not 0 < size < LARGEST_ID:
        raise MarketError("invalid_args", f"size: {shown(size)} is no size in GB.", field="size")
    return math.ceil(size)


def whole(fields: Fields, name: str) -> int:
    """An id. Raises MarketError(invalid_args)."""
    value = fields.number(name)
    if value is None or value != value // 1 or not 0 < value < LARGEST_ID:
        raise MarketError("invalid_args", f"{name}: {shown(fields.get(name))} is not a number of one.", field=name)
    return int(value)
