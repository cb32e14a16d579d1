"""The wire schema between host agents and the marketplace; the one definition of it, used by both ends.

Everything travels as JSON over HTTPS. Decoding is strict about types and required fields and ignores unknown fields,
so that either end may add optional fields without breaking the other. A host's clock may be wrong, so times travel
as *ages* (seconds before the moment of sending), never as instants; the server turns them into those of its own clock.
"""

from typing import Literal, TypeVar

import msgspec

from agent.job_protocol import DesiredJob, JobReport
from agent.sandbox_protocol import Sandbox
from agent.volume_protocol import DesiredVolume, ObservedVolume, VolumeMount

PROTOCOL_VERSION = 1
"""Counts changes that an older end would misunderstand; servers understand the version before, too."""
SYNC_PATH = "/api/agent/v1/sync"
TOOLS_PATH = "/api/agent/v1/tools/"
"""A bundle of guest tools is at this path and its digest, for machines that show their credential."""
BUNDLE_PATH = "/api/agent/v1/bundle/"
"""The agent itself, as an archive, is at this path and its digest, for anybody."""
KEPT_LOG_PATH = "/api/agent/v1/tasks/{task_id}/log"
"""Takes the end of a log whose container is gone, compressed by zlib, with ``?container=`` its id."""
MOST_KEPT_LOG_BYTES = 1 << 20
"""Of a log whose container is gone, before compression."""
MOST_RESULT_BYTES = 256 * 1024
"""The longest result of a task, written as a JSON string."""

JUPYTER_PORT = 8080
"""Where Jupyter listens in containers."""
ABILITY_JUPYTER = "jupyter"
"""In ``SyncRequest.abilities``: the agent knows ``ContainerSpec.jupyter``."""

DesiredState = Literal["running", "stopped", "removed"]
Phase = Literal["pulling", "creating", "starting", "running", "stopping", "stopped", "exited", "removed", "failed"]
FailureReason = Literal[
    "image_missing",
    "image_pull_failed",
    "engine_down",
    "engine_error",
    "port_taken",
    "disk_full",
    "disk_limit",
    "out_of_memory",
    "gpu_unavailable",
    "no_shell",
    "no_ssh_server",
    "command_not_found",
    "container_lost",
    "volume_missing",
    "exited",
]
JupyterState = Literal["starting", "installing", "ready", "failed"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all messages: immutable, keyword-only."""


class GpuFacts(Message, frozen=True):
    """One GPU as NVML (or the simulated inventory) describes it."""

    uuid: str
    index: int
    model: str
    """Marketing name without the vendor, e.g. "RTX 3090"."""
    vram_mb: int
    compute_capability: str
    """"8.6" style."""
    pci_bus_id: str
    pcie_gen: int
    pcie_lanes: int
    power_limit_w: int
    max_temperature_c: int
    memory_bandwidth_gbps: float
    """Gigabytes per second, from memory clock and bus width."""
    fp32_tflops: float
    """Theoretical peak, from cores and boost clock."""
    display_active: bool = False


class Inventory(Message, frozen=True):
    """What a machine is made of. Sizes are binary megabytes/gigabytes, speeds as named."""

    hostname: str
    simulated: bool
    gpus: list[GpuFacts]
    driver_version: str
    cuda_version: str
    """Highest CUDA version the driver supports, "12.8" style."""
    cpu_name: str
    cpu_arch: str
    cpu_cores: int
    """Logical cores."""
    cpu_ghz: float
    has_avx: bool
    ram_mb: int
    disk_name: str
    disk_total_gb: int
    """Space the agent may give to containers, including what they use now."""
    disk_bandwidth_mbps: float
    """Megabytes per second."""
    inet_up_mbps: float
    """Megabits per second."""
    inet_down_mbps: float
    os_name: str
    os_version: str
    kernel_version: str
    motherboard: str
    engine_version: str
    port_first: int
    """First of the host ports the agent may publish, inclusive."""
    port_last: int
    public_address: str | None = None
    """Address clients reach the ports at; None lets the server take the address the agent dials from."""
    geolocation: str | None = None
    """"City, CC" where the host states it."""
    sandboxes: dict[str, str] = {}
    """The SANDBOXES that the engine has, each with why guests can't run in it; empty where they can."""
    user_namespaces: bool = False
    """Whether root in a container is an ordinary user to the host."""
    toolkit_version: str = ""
    """Of NVIDIA's container toolkit, "1.17.8" style; empty where none tells it, and with simulated GPUs."""


class PortMapping(Message, frozen=True):
    container_port: int
    host_port: int
    protocol: Literal["tcp", "udp"] = "tcp"


class JupyterSpec(Message, frozen=True):
    """Jupyter on JUPYTER_PORT of the container, with the token in the variable JUPYTER_TOKEN."""

    lab: bool
    """JupyterLab, else Notebook; the other one where the image has only that."""
    directory: str
    """What it shows, an absolute path; made where it is missing."""


class ContainerSpec(Message, frozen=True):
    """What to create. Fixed for the life of a task's container."""

    image: str
    mode: Literal["ssh", "args"]
    """ssh: our start script runs sshd and /root/onstart.sh; args: the image's entrypoint with ``args``."""
    args: list[str]
    entrypoint: str | None
    env: dict[str, str]
    onstart: str
    """Text of /root/onstart.sh; empty for none."""
    hostname: str
    cpu_cores: float
    ram_mb: int
    shm_mb: int
    disk_gb: int
    pids_limit: int
    ports: list[PortMapping]
    network: Literal["guests", "none"] = "guests"
    """none: not even the guests' network, for what needs nobody else."""
    result_bytes: int = 0
    """Above 0, the last line that the container writes to its standard output is the task's result, told with its end;
    one that is longer than this as a JSON string, or than MOST_RESULT_BYTES, is no result."""
    jupyter: JupyterSpec | None = None
    """In ssh mode, Jupyter besides SSH. An agent without ABILITY_JUPYTER runs the container with SSH alone."""
    volumes: list[VolumeMount] = []
    """Never given to an agent without ABILITY_VOLUMES."""
    down_mbps: float = 0.0
    """The most that the container may receive, in megabits a second; 0 is without limit."""
    up_mbps: float = 0.0
    """The most that it may send."""
    sandbox: Sandbox = "none"
    """Only for machines that report it without an obstacle."""


class RegistryLogin(Message, frozen=True):
    """With what an image is fetched. Kept in memory only, and spelled out nowhere."""

    registry: str
    """"docker.io", or the host name (and port) that the image's name begins with."""
    username: str
    password: str

    def __repr__(self) -> str:
        return f"RegistryLogin({self.registry!r}, a user and a password)"


class DesiredTask(Message, frozen=True):
    """What should be true of one task. The agent compares with what is and acts on the difference."""

    task_id: int
    label: str
    """Human name and container hostname, "C.<instance id>" for a client's instance."""
    state: DesiredState
    run_generation: int
    """Counts the runs asked for. A running container of an older generation is restarted; a container that ended by
    itself in this generation is left ended and reported."""
    gpu_uuids: list[str]
    """The GPUs of the run wanted. May differ from one run of the task to the next: the agent then moves the container's
    disk into a new container before it begins the run."""
    spec: ContainerSpec
    authorized_keys: list[str]
    """May change while the task runs; the agent rewrites the file in the container."""
    stop_grace_seconds: int = 10
    """From SIGTERM to SIGKILL; 0 for at once."""
    notice: str = ""
    """With ``stopped``: a sentence why the task is stopped from outside, which the container finds in
    ``/.spotyard/notice.json`` before its SIGTERM. Empty for a stop the client asked for."""
    registry_login: RegistryLogin | None = None
    """With ``running``: the login that the image is fetched with, where it needs one."""


class JupyterReport(Message, frozen=True):
    """What has become of Jupyter in a container that runs."""

    state: JupyterState
    message: str = ""
    """Plain words for the client, with installing and failed."""


ERASED = ("container", "disk", "saved_disks", "volumes", "network", "notes")
"""What a client's instance leaves on a machine, and what of it the agent looks for after removing it."""


class ObservedTask(Message, frozen=True):
    """What is true of one task on the machine."""

    task_id: int
    phase: Phase
    run_generation: int
    """The run this describes: the ``DesiredTask.run_generation`` that the agent's worker for this task last acted on.
    A task told to stop (or to be removed) before its newest run ever began is reported ``stopped`` with that newest
    generation, container or not: the promise that this run will not begin any more, on which the server frees GPUs."""
    age_seconds: float
    """How long ago this phase began, by the agent's monotonic clock or the engine's own record."""
    exit_code: int | None = None
    reason: FailureReason | None = None
    message: str = ""
    """Plain words for the client, with phases failed and exited."""
    progress: float | None = None
    """Share of the image pulled, 0..1."""
    disk_used_mb: int | None = None
    disk_full: bool = False
    net_rx_bytes: int | None = None
    net_tx_bytes: int | None = None
    host_keys: list[str] | None = None
    """Of a container's SSH server, each as type and fingerprint: "ssh-ed25519 SHA256:…"; None while unknown."""
    onstart_exit_code: int | None = None
    """How /root/onstart.sh ended in this run; None while it runs, or where there is none."""
    onstart_output: str = ""
    """The last lines that it wrote before it failed."""
    result: str | None = None
    """With phase exited, where the spec asks for one: the container's last line, told in every report until the task is
    to be removed. Empty where there is none; None as long as it has not been read."""
    jupyter: JupyterReport | None = None
    """With phase running, where the spec asks for it; None before it has been looked at."""
    ran_seconds: float | None = None
    """With phase exited: how long the run could be used, by the engine's record; for runs that were over before the
    server heard that they had begun."""
    erased: list[str] = []
    """With phase removed: what the agent has looked for on the machine and found gone, out of ERASED. Empty where it
    found something left."""


class OutputReply(Message, frozen=True):
    """What the server has of a job's output, from its beginning on, and whether it wants more."""

    received_bytes: int
    wanted: bool


class UpdateFailure(Message, frozen=True):
    """A version of the agent that was given up on this machine. It is not tried again."""

    version: str
    why: str


class SyncRequest(Message, frozen=True):
    """Observed state up. Always complete: each request supersedes all with a lower ``seq`` of the same session."""

    protocol: int
    agent_version: str
    boot_id: str
    session_id: str
    """New at each start of the agent process; a new session supersedes all others."""
    session_started_age_seconds: float
    seq: int
    known_generation: int
    """Generation of the desired state last applied; -1 for none."""
    hold_seconds: float
    """How long the server may hold the request while there is nothing new; 0 answers at once."""
    tasks: list[ObservedTask]
    inventory: Inventory | None = None
    """Sent at session start and when it changed."""
    engine_error: str | None = None
    """Why the container engine can't be used now, in plain words; None when it can."""
    jobs: list[JobReport] | None = None
    """On the jobs that the server listed last; None from agents that know no jobs."""
    abilities: list[str] = []
    """What this agent can do that others of this protocol can't, by the names above."""
    relay_key: str | None = None
    """Public half of the key that the agent logs in to the relay with, "ssh-ed25519 AAAA..."; None where it can't."""
    update_failure: UpdateFailure | None = None
    """The last version that did not work here, as long as no other was given up."""
    volumes: list[ObservedVolume] | None = None
    """On the volumes that the server listed last; None before any list, and from agents that know no volumes."""


class ToolsBundle(Message, frozen=True):
    """The programs that the agent lends to containers; the same digest is always the same content."""

    arch: str
    """Of the machines it runs on, as ``uname -m`` says it."""
    digest: str
    """SHA-256 in hex."""
    size_bytes: int
    url: str
    """Absolute; takes the machine's credential, and a Range that begins in the middle."""


class RelayForward(Message, frozen=True):
    """What comes to this port of the relay goes to this port of the machine's own loopback address."""

    relay_port: int
    host_port: int


class RelayOrder(Message, frozen=True):
    """Where the relay is and what the machine forwards through it: all of that, and nothing else."""

    host: str
    port: int
    host_key: str
    """The relay's own key, "ssh-ed25519 AAAA...": no other is to be trusted."""
    user: str
    forwards: list[RelayForward]


class PortCheck(Message, frozen=True):
    """The server is about to look whether this port can be reached: say the word there, whoever connects."""

    port: int
    word: str


class AgentRelease(Message, frozen=True):
    """The agent that a machine should run: an archive, for agents that were installed by the marketplace's script."""

    version: str
    digest: str
    """SHA-256 in hex."""
    size_bytes: int
    url: str


class SyncReply(Message, frozen=True):
    """Desired state down. Always complete: tasks absent here are left untouched."""

    generation: int
    tasks: list[DesiredTask]
    sync_url: str
    tools: ToolsBundle | None = None
    """None where the marketplace has none for this machine's architecture."""
    jobs: list[DesiredJob] | None = None
    """All open jobs of the machine; one that is not among them is wanted no more. None from servers without jobs."""
    relay: RelayOrder | None = None
    """None where there is no relay, or where it does not know this machine's key."""
    port_checks: list[PortCheck] = []
    """Ports to answer on for as long as they are named here."""
    agent: AgentRelease | None = None
    """None leaves the agent as it is."""
    volumes: list[DesiredVolume] | None = None
    """All volumes of the machine that are not gone; None from servers that know none."""


class ErrorReply(Message, frozen=True):
    """Every refusal: ``error`` is a stable code, ``msg`` a sentence."""

    error: str
    msg: str
    agent: AgentRelease | None = None
    """With unsupported_protocol: the agent to run instead, as such an agent gets no reply that could name it."""


def encode(message: Message) -> bytes:
    """JSON bytes of a message."""
    return msgspec.json.encode(message)


M = TypeVar("M", bound=Message)


def decode(kind: type[M], data: bytes) -> M:
    """Parse and validate.

    Raises ``msgspec.ValidationError`` (with the path of the offending field) or ``msgspec.DecodeError``.
    """
    return msgspec.json.decode(data, type=kind)
