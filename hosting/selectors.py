"""Reads of this app."""

from typing import TYPE_CHECKING, Any

import msgspec
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core import signing
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.urls import reverse
from django.utils import timezone

from agent.protocol import SYNC_PATH, TOOLS_PATH, ContainerSpec, DesiredTask, RegistryLogin, SyncReply, ToolsBundle
from dlperf.catalogue import gpu_models, gpu_scores, hardware_known_as
from dlperf.domain.hardware import Hardware
from dlperf.domain.score import MEASURED, PREDICTED, PUBLISHED, Scores
from hosting.agent_releases import release_for
from hosting.connecting import port_checks_of, relay_order
from hosting.domain.benchmarks import kept_scores
from hosting.domain.measuring import RUN_LIMIT, START_LIMIT, SUCCEEDED, hardware_digest
from hosting.domain.requirements import version_number
from hosting.domain.sandboxes import sandbox_problem
from hosting.domain.secrets import secret_hash
from hosting.domain.torch_builds import any_image, image_for
from hosting.domain.verification import CASE_OVERTURNED, CASES_UNDECIDED
from hosting.domain.volumes import DELETED
from hosting.gateways.guest_tools import bundle_for
from hosting.models import (
    ChallengeRun,
    Gpu,
    GpuClaim,
    IdleJob,
    InstallToken,
    Listing,
    Machine,
    Measurement,
    Task,
    VerificationCase,
    Volume,
)
from hosting.outputs import desired_jobs
from hosting.sealed_logins import opened
from hosting.volumes import desired_volumes

if TYPE_CHECKING:
    from typing import TypedDict

    from django_stubs_ext import WithAnnotations

    class InUse(TypedDict):
        """What ``machines_of`` counts."""

        gpus_in_use: int
        case_open: bool

    MachineInUse = WithAnnotations[Machine, InUse]


_SPEED_SALT = "hosting.speed"


def sync_url() -> str:
    """Where agents post their syncs."""
    return f"{settings.AGENT_URL}{SYNC_PATH}"


def speed_url(machine_id: int) -> str:
    """Where a benchmark of this machine that begins now measures its line to."""
    ticket = signing.dumps(machine_id, salt=_SPEED_SALT)
    return settings.DLPERF_ENDPOINT or f"{settings.AGENT_URL}{reverse('agent_speed', args=[ticket])}"


def speed_ticket_holds(ticket: str) -> bool:
    """Whether we gave this ticket to a benchmark that may still run."""
    try:
        signing.loads(ticket, salt=_SPEED_SALT, max_age=START_LIMIT + RUN_LIMIT)
    except signing.BadSignature:
        return False
    return True


def machine_by_credential(credential: str) -> Machine | None:
    """The machine that owns this credential, also one that was removed."""
    return Machine.objects.filter(credential_hash=secret_hash(credential)).first()


def is_cleared(machine: Machine) -> bool:
    """Whether the machine's agent has said that nothing of ours is left there."""
    volumes = Volume.objects.filter(machine=machine).exclude(state=DELETED)
    return not Task.objects.filter(machine=machine, removed_at=None).exists() and not volumes.exists()


def desired_generation(machine_id: int) -> int:
    """Which generation of its desired state the machine should know."""
    generation: int = Machine.objects.values_list("desired_generation", flat=True).get(pk=machine_id)
    return generation


def desired_state(machine_id: int) -> SyncReply:
    """Everything the agent of this machine should bring about.

    The generation is read before the tasks: a change in between only makes the agent ask once more.
    """
    generation, arch = Machine.objects.values_list("desired_generation", "cpu_arch").get(pk=machine_id)
    live_claims = Prefetch(
        "gpu_claims",
        queryset=GpuClaim.objects.filter(released_at=None).select_related("gpu").order_by("gpu__index"),
        to_attr="live_claims",
    )
    tasks = Task.objects.filter(machine_id=machine_id, removed_at=None).prefetch_related(live_claims).order_by("pk")
    return SyncReply(
        generation=generation,
        tasks=[_desired_task(task) for task in tasks],
        sync_url=sync_url(),
        tools=_tools_bundle(arch),
        jobs=desired_jobs(machine_id, timezone.now()),
        relay=relay_order(machine_id),
        port_checks=port_checks_of(machine_id),
        agent=release_for(machine_id),
        volumes=desired_volumes(machine_id),
    )


def _tools_bundle(arch: str) -> ToolsBundle | None:
    found = bundle_for(arch)
    if found is None:
        return None
    url = f"{settings.AGENT_URL}{TOOLS_PATH}{found.digest}"
    return ToolsBundle(arch=found.arch, digest=found.digest, size_bytes=found.size_bytes, url=url)


def _desired_task(task: Any) -> DesiredTask:
    return DesiredTask(
        task_id=task.pk,
        label=task.label,
        state=task.desired_state,
        run_generation=task.run_generation,
        gpu_uuids=[claim.gpu.uuid for claim in task.live_claims],
        spec=msgspec.convert(task.spec, ContainerSpec),
        authorized_keys=task.authorized_keys,
        stop_grace_seconds=task.stop_grace_seconds,
        notice=task.notice,
        registry_login=_registry_login(task),
    )


def _registry_login(task: Task) -> RegistryLogin | None:
    """For the agent that fetches the image, and only while there is something to fetch it for."""
    login = opened(task.registry_login) if task.desired_state == Task.Desired.RUNNING else None
    if login is None:
        return None
    return RegistryLogin(registry=login.registry, username=login.username, password=login.password)


def usable_gpus(machine: Machine) -> QuerySet[Gpu]:
    """GPUs that are there and healthy, by index."""
    return machine.gpus.filter(present=True, unhealthy_reason="").order_by("index")


def free_gpus(machine: Machine) -> list[Gpu]:
    """Usable GPUs that no task holds, by index."""
    held = GpuClaim.objects.filter(gpu=OuterRef("pk"), released_at=None)
    return list(usable_gpus(machine).filter(~Exists(held)))


def machines_of(host: AbstractBaseUser) -> "QuerySet[MachineInUse]":
    """The host's registered machines with listing, idle job, standing, the count of GPUs in use and whether a case of
    verification is open, oldest first.

    A GPU that only the idle job or a benchmark runs on is not in use: anyone can rent it.
    """
    rented = Q(gpus__claims__released_at=None, gpus__claims__task__kind=Task.Kind.INSTANCE)
    in_use = Count("gpus", filter=rented, distinct=True)
    undecided = VerificationCase.objects.filter(machine=OuterRef("pk"), state__in=CASES_UNDECIDED)
    return (
        Machine.objects.filter(host_id=host.pk, removed_at=None)
        .select_related("listing", "idle_job", "standing")
        .annotate(gpus_in_use=in_use, case_open=Exists(undecided))
        .order_by("pk")
    )


def idle_floor_micros(machine: Machine) -> int:
    """The price of the machine's idle job in micro-dollars per GPU and hour, 0 without one: a floor under every bid."""
    job: IdleJob | None = getattr(machine, "idle_job", None)
    return job.price_micros_per_gpu_hour if job is not None and job.active else 0


def bid_floor_micros(machine: Machine) -> int:
    """The least bid that the machine takes, in micro-dollars per GPU and hour: minimum bid or idle job's price."""
    listing: Listing | None = getattr(machine, "listing", None)
    min_bid_micros = listing.min_bid_micros_per_gpu_hour if listing is not None and listing.active else 0
    return max(min_bid_micros, idle_floor_micros(machine))


def listed_sandbox_problem(machine: Machine) -> str:
    """Why a listed machine is off the market for want of the sandbox that it promises; empty where it is not."""
    listing: Listing | None = getattr(machine, "listing", None)
    if listing is None or not listing.active:
        return ""
    return sandbox_problem(listing.sandbox, machine.sandboxes)


def agent_versions_online() -> list[tuple[str, int]]:
    """Versions of the agents of machines that are online, with how many run each, the most frequent first."""
    online = Machine.objects.filter(online=True, removed_at=None)
    return list(online.values_list("agent_version").annotate(machines=Count("pk")).order_by("-machines"))


def install_tokens_of(host: AbstractBaseUser) -> QuerySet[InstallToken]:
    """The host's tokens, newest first."""
    return InstallToken.objects.filter(host_id=host.pk).select_related("machine").order_by("-pk")


def gpus_with_use(machine: Machine) -> QuerySet[Gpu]:
    """The machine's present GPUs by index, each with ``in_use``, ``idles`` and ``is_measured``: whether an instance,
    the idle job or a benchmark holds it."""
    live = GpuClaim.objects.filter(gpu=OuterRef("pk"), released_at=None)
    rented = live.filter(task__kind=Task.Kind.INSTANCE)
    idle = live.filter(task__kind=Task.Kind.IDLE_JOB)
    measured = live.filter(task__kind__in=(Task.Kind.BENCHMARK, Task.Kind.CHALLENGE))
    return (
        machine.gpus.filter(present=True)
        .annotate(in_use=Exists(rented), idles=Exists(idle), is_measured=Exists(measured))
        .order_by("index")
    )


def hardware_of(machine: Machine) -> str:
    """Digest of what a measurement of the machine is about: its GPUs, driver, CPU and memory."""
    present = sorted((gpu for gpu in machine.gpus.all() if gpu.present), key=lambda gpu: gpu.uuid)
    gpus = [(gpu.uuid, gpu.model, gpu.vram_mb, gpu.power_limit_w) for gpu in present]
    return hardware_digest(
        gpus, machine.driver_version, machine.cuda_version, machine.cpu_name, machine.cpu_cores, machine.ram_mb
    )


def benchmarks_of(machine: Machine) -> QuerySet[Measurement]:
    """The machine's benchmarks, the latest first: open ones, then those that ended, by their end."""
    return machine.measurements.filter(kind=Measurement.Kind.BENCHMARK).order_by(
        F("finished_at").desc(nulls_first=True), "-pk"
    )


def with_performance(machines: QuerySet[Machine]) -> QuerySet[Any]:
    """The same machines with ``latest_is_drop``: whether their latest benchmark was slower than usual; None without."""
    done = Measurement.objects.filter(machine=OuterRef("pk"), kind=Measurement.Kind.BENCHMARK, state=SUCCEEDED)
    latest = done.order_by("-finished_at", "-pk")
    return machines.annotate(latest_is_drop=Subquery(latest.values("is_drop")[:1]))


def _first_gpu(machine: Machine) -> Gpu | None:
    """All are of one model. Of those that were fetched before, where they were."""
    return min(machine.gpus.all(), key=lambda gpu: (not gpu.present, gpu.index), default=None)


def dlperf_image(machine: Machine) -> str:
    """The image of our programs for this machine's GPUs and driver; "" where there is none."""
    gpu = _first_gpu(machine)
    capability = version_number(gpu.compute_capability) if gpu is not None else 0.0
    template: str = settings.DLPERF_IMAGE
    if machine.simulated:
        return any_image(template)
    return image_for(template, capability, version_number(machine.cuda_version))


def specified_hardware(machine: Machine) -> Hardware:
    """What the specifications of the machine's GPUs say, by the catalogue where it has them."""
    gpu = _first_gpu(machine)
    if gpu is None:
        raise ValueError(f"{machine} has no GPU.")
    return hardware_known_as(
        machine.gpu_name,
        fp32_tflops=gpu.fp32_tflops,
        memory_bandwidth_gbps=gpu.memory_bandwidth_gbps,
        compute_capability=gpu.compute_capability,
    )


def is_known_model(machine: Machine) -> bool:
    """Whether the catalogue has the machine's GPUs: of others only their agents say what they can do."""
    return machine.gpu_name in gpu_models()


def gpu_scores_of(machine: Machine, gpu: Gpu) -> Scores:
    """DLPerf of one GPU of the machine: what was measured there, else what is known of the model."""
    return kept_scores(machine.measured_scores) or gpu_scores(
        machine.gpu_name,
        fp32_tflops=gpu.fp32_tflops,
        memory_bandwidth_gbps=gpu.memory_bandwidth_gbps,
        compute_capability=gpu.compute_capability,
    )


def score_source_of(machine: Machine, scores: Scores) -> str:
    """Where these scores of the machine come from. Measured ones may be estimates in part, or as long as nothing
    confirms them."""
    if kept_scores(machine.measured_scores) is not None:
        return MEASURED
    return PREDICTED if scores.balanced.is_estimate else PUBLISHED


def judged_runs(machine: Machine) -> QuerySet[ChallengeRun]:
    """The machine's challenges that were passed or failed, oldest first, since the last case that was overturned.

    Those that its host asked for, at a moment of its own choice, say nothing.
    """
    overturned = machine.verification_cases.filter(state=CASE_OVERTURNED).order_by("-decided_at").first()
    runs = machine.challenge_runs.filter(passed__isnull=False).exclude(measurement__reason=Measurement.Reason.HOST)
    if overturned is not None:
        runs = runs.filter(judged_at__gt=overturned.decided_at)
    return runs.order_by("judged_at", "pk")
