"""What clients are told about their instances, and the shape in which programs get it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from billing.domain.notices import KINDS as MONEY_KINDS

OUTBID = "outbid"  # others bid more or rent on demand
RESUMED = "resumed"  # it runs again
EXPIRING = "expiring"  # its lifetime ends soon
EXPIRED = "expired"  # its lifetime is over, the disk is kept for a while
DISK_EXPIRING = "disk_expiring"  # its disk is deleted soon
DISK_DELETED = "disk_deleted"
EXTENDED = "extended"  # the host granted a longer lifetime
MAINTENANCE = "maintenance"  # its machine will be worked on, or will not after all
SUSPENDED = "suspended"  # staff stopped it, with its machine

INSTANCE_KINDS = (OUTBID, RESUMED, EXPIRING, EXPIRED, DISK_EXPIRING, DISK_DELETED, EXTENDED, MAINTENANCE, SUSPENDED)
VOLUME_MAINTENANCE = "volume_maintenance"  # the same for whoever has only a volume there; by mail only
VOLUME_ENDS = "volume_ends"  # a volume's lifetime ends, has ended, or it is deleted; by mail only
WEBHOOK_DISABLED = "webhook_disabled"  # about the account's webhook, so it goes by mail only
GPU_UNHEALTHY = "gpu_unhealthy"  # GPUs of a host's machine left the market; by mail only
GPU_HEALTHY = "gpu_healthy"  # they are back
MACHINE_SUSPENDED = "machine_suspended"  # staff keep a host's machine from the market; by mail only
MACHINE_RESTORED = "machine_restored"
MACHINE_REPORT = "machine_report"  # a client reports a problem with it; by mail only
MACHINE_KINDS = (GPU_UNHEALTHY, GPU_HEALTHY, MACHINE_SUSPENDED, MACHINE_RESTORED, MACHINE_REPORT)
ACCOUNT_SUSPENDED = "account_suspended"  # by mail only
ACCOUNT_RESTORED = "account_restored"
REPORT_ANSWERED = "report_answered"  # a host answered a client's report; by mail only
ACCOUNT_KINDS = (ACCOUNT_SUSPENDED, ACCOUNT_RESTORED, REPORT_ANSWERED)
KINDS = (
    *INSTANCE_KINDS,
    VOLUME_ENDS,
    VOLUME_MAINTENANCE,
    WEBHOOK_DISABLED,
    *MACHINE_KINDS,
    *ACCOUNT_KINDS,
    *MONEY_KINDS,
)

TEST_EVENT = "webhook.test"
SUBJECT_MAX_CHARS = 200


def event_type(kind: str) -> str:
    """The name under which webhooks hear of a notice: "instance.outbid"."""
    return f"instance.{kind}"


def message_id(notice_id: int) -> str:
    """The same at every attempt, so that receivers can drop what they have already."""
    return f"ntc_{notice_id}"


def payload(*, message_id: str, event: str, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    """What a webhook gets, before it is written as JSON."""
    created_at = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {"id": message_id, "type": event, "created_at": created_at, "data": dict(data)}


def one_line(subject: str) -> str:
    """A subject as mail servers take it: one line of at most SUBJECT_MAX_CHARS characters."""
    line = " ".join(subject.split())
    return line if len(line) <= SUBJECT_MAX_CHARS else line[: SUBJECT_MAX_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"
