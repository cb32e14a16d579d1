"""Which kinds of jobs this agent can do."""

from agent.jobs.asking import Ask
from agent.jobs.copying import Copy
from agent.jobs.disks import ReceiveDisk, SendDisk
from agent.jobs.execute import Execute
from agent.jobs.kinds import Handler
from agent.jobs.logs import FollowLog, ReadLog
from agent.jobs.urls import UrlCopy
from agent.jobs.workplace import Workplace


def handlers(workplace: Workplace) -> dict[str, Handler]:
    """By the names that the server uses."""
    return {
        "logs": ReadLog(workplace),
        "follow": FollowLog(workplace),
        "execute": Execute(workplace),
        "copy": Copy(workplace),
        "url": UrlCopy(workplace),
        "ask": Ask(workplace),
        "disk_send": SendDisk(workplace),
        "disk_receive": ReceiveDisk(workplace),
    }
