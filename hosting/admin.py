"""Staff's view of machines. Facts and history are read-only; what changes goes through services."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from unfold.admin import ModelAdmin

from billing.admin_bases import ReadOnlyAdmin, ReadOnlyInline
from hosting import admin_reports
from hosting.admin_forms import QuietPeriodForm
from hosting.admin_suspension import SuspensionActions
from hosting.agent_releases import newest_release
from hosting.errors import HostingError
from hosting.models import (
    AgentRollout,
    ChallengeRun,
    Gpu,
    GpuClaim,
    IdleJob,
    InstallToken,
    Listing,
    Machine,
    MachineEvent,
    Measurement,
    PortLease,
    QuietPeriod,
    ReliabilityStanding,
    Task,
    TaskEvent,
    VerificationCase,
    VerificationFinding,
    Volume,
    VolumeEvent,
)
from hosting.selectors import agent_versions_online, with_performance
from hosting.services.agent_versions import agent_rollout_set
from hosting.services.listing import listing_end
from hosting.services.measuring import benchmark_order
from hosting.services.quiet_periods import maintenance_announce, maintenance_end, own_outage_record
from hosting.services.verification import machine_set_verification
from hosting.services.verification_cases import case_decide

__all__ = ["admin_reports"]
"""Django looks for this module only."""


class GpuInline(ReadOnlyInline):
    model = Gpu
    fields = ("index", "model", "uuid", "vram_mb", "present", "unhealthy_reason")
    ordering = ("index", "pk")


class MeasurementInline(ReadOnlyInline):
    model = Measurement
    fk_name = "machine"
    fields = ("asked_at", "reason", "state", "score", "usual_score", "is_drop", "is_implausible", "is_cpu", "problem")
    per_page = 20


class MachineEventInline(ReadOnlyInline):
    model = MachineEvent
    fields = ("at", "kind", "actor", "message")
    ordering = ("-at", "-pk")
    list_select_related = ("actor",)


class SlowerThanUsual(admin.SimpleListFilter):
    title = "performance"
    parameter_name = "performance"

    def lookups(self, _request: HttpRequest, _admin: object) -> list[tuple[str, str]]:
        return [("dropped", "slower than usual")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(latest_is_drop=True) if self.value() == "dropped" else queryset


@admin.register(Machine)
class MachineAdmin(SuspensionActions, ReadOnlyAdmin):
    suspends = "machine"
    list_display = (
        "id",
        "hostname",
        "host",
        "gpu_count",
        "gpu_name",
        "online",
        "verification",
        "reliability",
        "measured_dlperf",
        "is_slower_than_usual",
        "simulated",
        "agent_version",
        "agent_failed_version",
    )
    list_filter = (
        SlowerThanUsual,
        "online",
        ("suspended_at", admin.EmptyFieldListFilter),
        "verification",
        "simulated",
        "gpu_name",
    )
    search_fields = ("hostname", "host__email", "gpus__uuid", "=id")
    exclude = ("credential_hash", "boot_id", "session_id", "session_seq", "session_started_at")
    inlines = (GpuInline, MeasurementInline, MachineEventInline)
    actions = ("verify", "deverify", "unlist", "benchmark")
    actions_detail = ("timeline", "suspend", "restore")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_performance(super().get_queryset(request))

    @admin.display(boolean=True, description="Slower than usual")
    def is_slower_than_usual(self, machine: Any) -> bool:
        return bool(machine.latest_is_drop)

    @admin.action(description="Run the benchmark", permissions=["act"])
    def benchmark(self, request: HttpRequest, queryset: QuerySet[Machine]) -> None:
        staff = request.user if request.user.is_authenticated else None
        reason = Measurement.Reason.STAFF
        try:
            for pk in sorted(queryset.values_list("pk", flat=True)):
                benchmark_order(machine_id=pk, reason=reason, staff=staff, now=timezone.now())
        except HostingError as refusal:
            messages.error(request, refusal.message)
        else:
            messages.success(request, f"Asked for: {len(queryset)}. Each begins when nobody uses its machine.")

    @admin.action(description="Mark as verified", permissions=["act"])
    def verify(self, request: HttpRequest, queryset: QuerySet[Machine]) -> None:
        self._set_verification(request, queryset, "verified")

    @admin.action(description="Mark as deverified", permissions=["act"])
    def deverify(self, request: HttpRequest, queryset: QuerySet[Machine]) -> None:
        self._set_verification(request, queryset, "deverified")

    def _set_verification(self, request: HttpRequest, queryset: QuerySet[Machine], to: str) -> None:
        actor = request.user if request.user.is_authenticated else None
        for pk in queryset.order_by("pk").values_list("pk", flat=True):
            machine_set_verification(machine_id=pk, verification=to, actor=actor, reason="by staff", now=timezone.now())
        messages.success(request, f"{to.capitalize()}: {len(queryset)}")

    @admin.action(description="Take off the market", permissions=["act"])
    def unlist(self, request: HttpRequest, queryset: QuerySet[Machine]) -> None:
        for machine in queryset.select_related("host").order_by("pk"):
            listing_end(machine_id=machine.pk, host=machine.host, now=timezone.now(), actor=_actor(request))
        messages.success(request, f"Unlisted: {len(queryset)}")


@admin.register(Gpu)
class GpuAdmin(ReadOnlyAdmin):
    list_display = ("id", "machine", "index", "model", "uuid", "present")
    search_fields = ("uuid", "model")


@admin.register(Listing)
class ListingAdmin(ReadOnlyAdmin):
    list_display = ("machine", "active", "gpu_micros_per_hour", "min_gpus", "end_at")
    list_filter = ("active",)


@admin.register(IdleJob)
class IdleJobAdmin(ReadOnlyAdmin):
    list_display = ("machine", "active", "image", "price_micros_per_gpu_hour", "set_at")
    list_filter = ("active",)
    search_fields = ("image", "=machine__id")


@admin.register(Measurement)
class MeasurementAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "machine",
        "kind",
        "asked_at",
        "reason",
        "state",
        "score",
        "usual_score",
        "is_drop",
        "is_implausible",
        "is_cpu",
        "problem",
    )
    list_filter = ("kind", "state", "is_drop", "is_implausible", "reason", "simulated")
    search_fields = ("=machine__id", "machine__hostname", "gpu_name")
    date_hierarchy = "asked_at"


class VerificationFindingInline(ReadOnlyInline):
    model = VerificationFinding
    fk_name = "run"
    fields = ("at", "code", "shadow", "evidence")


@admin.register(ChallengeRun)
class ChallengeRunAdmin(ReadOnlyAdmin):
    list_display = ("measurement", "machine", "judged_at", "passed", "seconds", "question")
    list_filter = ("passed",)
    search_fields = ("=machine__id",)
    list_select_related = ("machine", "measurement", "question")
    ordering = ("-judged_at",)
    inlines = (VerificationFindingInline,)


@admin.register(VerificationFinding)
class VerificationFindingAdmin(ReadOnlyAdmin):
    list_display = ("at", "machine", "code", "shadow", "evidence")
    list_filter = ("code", "shadow")
    search_fields = ("=machine__id",)
    list_select_related = ("machine",)
    ordering = ("-at",)


@admin.register(VerificationCase)
class VerificationCaseAdmin(ReadOnlyAdmin):
    """The queue of what staff have to decide: filter by state."""

    list_display = (
        "id",
        "machine",
        "state",
        "opened_at",
        "earned_micros",
        "holds_payouts",
        "appealed_at",
        "decided_by",
    )
    list_filter = ("state",)
    search_fields = ("=machine__id", "machine__host__email")
    list_select_related = ("machine", "decided_by")
    ordering = ("decided_at", "opened_at")
    actions = ("uphold", "overturn")

    @admin.action(description="Uphold: the machine stays deverified, what it earned held", permissions=["act"])
    def uphold(self, request: HttpRequest, queryset: QuerySet[VerificationCase]) -> None:
        self._decide(request, queryset, uphold=True)

    @admin.action(description="Overturn: the machine is unverified, what it earned is paid", permissions=["act"])
    def overturn(self, request: HttpRequest, queryset: QuerySet[VerificationCase]) -> None:
        self._decide(request, queryset, uphold=False)

    def _decide(self, request: HttpRequest, queryset: QuerySet[VerificationCase], *, uphold: bool) -> None:
        staff = _actor(request)
        if staff is None:
            return
        for case in queryset.order_by("pk"):
            try:
                case_decide(case_id=case.pk, staff=staff, uphold=uphold, now=timezone.now())
            except HostingError as refusal:
                messages.error(request, refusal.message)
            else:
                messages.success(request, f"Case {case.pk}: {'upheld' if uphold else 'overturned'}.")


class TaskEventInline(ReadOnlyInline):
    model = TaskEvent
    fields = ("at", "phase", "run_generation", "reason", "message")
    ordering = ("-at", "-pk")


class GpuClaimInline(ReadOnlyInline):
    model = GpuClaim
    fields = ("gpu", "claimed_at", "released_at")
    list_select_related = ("gpu",)


class PortLeaseInline(ReadOnlyInline):
    model = PortLease
    fields = ("host_port", "container_port", "protocol", "released_at")


@admin.register(Task)
class TaskAdmin(ReadOnlyAdmin):
    list_display = ("id", "label", "kind", "machine", "desired_state", "observed_phase", "run_generation")
    list_filter = ("kind", "desired_state", "observed_phase")
    search_fields = ("label", "=id", "=machine__id")
    exclude = ("spec", "authorized_keys", "registry_login")  # a client's environment is no business of staff's browsing
    inlines = (GpuClaimInline, PortLeaseInline, TaskEventInline)


class VolumeEventInline(ReadOnlyInline):
    model = VolumeEvent
    fields = ("at", "from_state", "to_state", "actor", "reason", "message")
    ordering = ("-at", "-pk")
    list_select_related = ("actor",)


@admin.register(Volume)
class VolumeAdmin(ReadOnlyAdmin):
    list_display = ("id", "label", "owner", "machine", "size_gb", "used_mb", "state", "created_at", "end_at")
    list_filter = ("state",)
    search_fields = ("label", "=id", "=machine__id", "owner__email")
    exclude = ("request_key",)
    inlines = (VolumeEventInline,)


@admin.register(InstallToken)
class InstallTokenAdmin(ReadOnlyAdmin):
    list_display = ("prefix", "name", "host", "created_at", "expires_at", "revoked_at", "machine")
    exclude = ("token_hash",)


@admin.register(ReliabilityStanding)
class ReliabilityStandingAdmin(ReadOnlyAdmin):
    list_display = ("machine", "as_of", "up_hours", "down_hours", "launched", "launch_failed", "computed_at")
    search_fields = ("=machine__id",)
    list_select_related = ("machine",)


@admin.register(QuietPeriod)
class QuietPeriodAdmin(ReadOnlyAdmin):
    """Adding announces maintenance or records an outage of ours; the action ends maintenance."""

    list_display = ("id", "kind", "machine", "starts_at", "ends_at", "actor", "note")
    list_filter = ("kind",)
    search_fields = ("=machine__id", "note")
    list_select_related = ("machine", "actor")
    ordering = ("-id",)
    actions = ("end_now",)

    @admin.action(description="End now, or call off", permissions=["act"])
    def end_now(self, request: HttpRequest, queryset: QuerySet[QuietPeriod]) -> None:
        for period in queryset.order_by("pk"):
            try:
                maintenance_end(period_id=period.pk, actor=_actor(request), now=timezone.now())
            except HostingError as refusal:
                messages.error(request, refusal.message)
            else:
                messages.success(request, f"Maintenance {period.pk} is over.")

    def has_add_permission(self, request: HttpRequest, *_: object) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def get_form(self, request: HttpRequest, obj: QuietPeriod | None = None, **kwargs: Any) -> Any:
        return super().get_form(request, obj, **kwargs) if obj else QuietPeriodForm

    def get_fields(self, request: HttpRequest, obj: QuietPeriod | None = None) -> Any:
        return super().get_fields(request, obj) if obj else ["machine_number", "begins", "ends", "why"]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().add_view(request, *args, **kwargs)
        except HostingError as refusal:
            messages.error(request, refusal.message)
            return HttpResponseRedirect(request.path)
        return response

    def save_model(self, request: HttpRequest, obj: QuietPeriod, form: QuietPeriodForm, *_: object) -> None:
        machine_id = form.cleaned_data["machine_number"]
        told = form.period() | {"actor": _actor(request), "now": timezone.now()}
        made = own_outage_record(**told) if machine_id is None else maintenance_announce(machine_id=machine_id, **told)
        obj.__dict__.update(made.__dict__)


def _actor(request: HttpRequest) -> AbstractBaseUser | None:
    return request.user if request.user.is_authenticated else None


@admin.register(MachineEvent)
class MachineEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "machine", "kind", "actor", "message")
    list_filter = ("kind",)
    search_fields = ("=machine__id", "message")
    date_hierarchy = "at"


@admin.register(AgentRollout)
class AgentRolloutAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """How far a new version of the agent spreads: one row, changed through its service."""

    list_display = ("__str__", "percent", "paused", "present_version", "versions_about")
    readonly_fields = ("present_version", "versions_about")

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return not AgentRollout.objects.exists()

    def has_delete_permission(self, _request: HttpRequest, *_: object) -> bool:
        return False

    def save_model(self, _request: HttpRequest, obj: AgentRollout, _form: Any, _change: bool) -> None:
        obj.pk = agent_rollout_set(percent=obj.percent, paused=obj.paused).pk

    @admin.display(description="Version that is offered")
    def present_version(self, _rollout: AgentRollout) -> str:
        return newest_release().version

    @admin.display(description="Versions on machines that are online")
    def versions_about(self, _rollout: AgentRollout) -> str:
        counted = agent_versions_online()
        return ", ".join(f"{version or 'unknown'}: {count}" for version, count in counted) or "none"
