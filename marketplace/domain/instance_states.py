"""The life of an instance, as a table."""

SCHEDULING = "scheduling"  # should run, waits for GPUs
LOADING = "loading"  # has its GPUs, the agent pulls, creates, starts
RUNNING = "running"
OUTBID = "outbid"  # should run, others bid more or rent on demand
STOPPING = "stopping"  # should not run, the agent has not said yet that it does not
STOPPED = "stopped"
EXITED = "exited"  # its command ended by itself
ERROR = "error"  # could not be started, or died of the machine's fault
DESTROYING = "destroying"
DESTROYED = "destroyed"

STATES = (SCHEDULING, LOADING, RUNNING, OUTBID, STOPPING, STOPPED, EXITED, ERROR, DESTROYING, DESTROYED)

TRANSITIONS: dict[str, frozenset[str]] = {
    SCHEDULING: frozenset({LOADING, OUTBID, STOPPING, STOPPED, ERROR, DESTROYING}),
    LOADING: frozenset({RUNNING, SCHEDULING, OUTBID, STOPPING, EXITED, ERROR, DESTROYING}),
    RUNNING: frozenset({LOADING, SCHEDULING, OUTBID, STOPPING, EXITED, ERROR, DESTROYING}),
    OUTBID: frozenset({SCHEDULING, LOADING, STOPPING, STOPPED, ERROR, DESTROYING}),
    STOPPING: frozenset({STOPPED, SCHEDULING, LOADING, ERROR, DESTROYING}),
    STOPPED: frozenset({SCHEDULING, LOADING, ERROR, DESTROYING}),
    EXITED: frozenset({SCHEDULING, LOADING, STOPPED, ERROR, DESTROYING}),
    ERROR: frozenset({SCHEDULING, LOADING, STOPPED, DESTROYING}),
    DESTROYING: frozenset({DESTROYED}),
    DESTROYED: frozenset(),
}

ON_GPUS = frozenset({LOADING, RUNNING})
CAN_START = frozenset({STOPPED, STOPPING, EXITED, ERROR})
CAN_STOP = frozenset({SCHEDULING, LOADING, RUNNING, OUTBID})
CAN_REBOOT = frozenset({RUNNING})


def may_become(old: str, new: str) -> bool:
    """Whether the table allows ``old`` to become ``new``."""
    return new in TRANSITIONS[old]
