from hosting.models.agent_rollout import AgentRollout
from hosting.models.gpu import Gpu, GpuClaim
from hosting.models.idle_job import IdleJob, IdleTask
from hosting.models.install_token import InstallToken
from hosting.models.job import Job, JobChunk, KeptLog
from hosting.models.listing import Listing
from hosting.models.machine import Machine, MachineEvent
from hosting.models.machine_yield import MachineYield
from hosting.models.measurement import Measurement
from hosting.models.relay import Relay, RelayLease
from hosting.models.reliability import Pulse, QuietPeriod, ReliabilityStanding
from hosting.models.report import MachineReport
from hosting.models.task import PortLease, Task, TaskEvent
from hosting.models.telemetry import GpuHealth, TelemetryReceipt, TelemetryWindow
from hosting.models.verification import ChallengeQuestion, ChallengeRun, VerificationCase, VerificationFinding
from hosting.models.volume import Volume, VolumeEvent, VolumeMount

__all__ = [
    "AgentRollout",
    "ChallengeQuestion",
    "ChallengeRun",
    "Gpu",
    "GpuClaim",
    "GpuHealth",
    "IdleJob",
    "IdleTask",
    "InstallToken",
    "Job",
    "JobChunk",
    "KeptLog",
    "Listing",
    "Machine",
    "MachineEvent",
    "MachineReport",
    "MachineYield",
    "Measurement",
    "PortLease",
    "Pulse",
    "QuietPeriod",
    "Relay",
    "RelayLease",
    "ReliabilityStanding",
    "Task",
    "TaskEvent",
    "TelemetryReceipt",
    "TelemetryWindow",
    "VerificationCase",
    "VerificationFinding",
    "Volume",
    "VolumeEvent",
    "VolumeMount",
]
