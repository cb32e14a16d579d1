"""Offers: rentable slices of listed machines, denormalised for search."""

from django.conf import settings
from django.db import models

from dlperf.domain.score import MEASURED, PREDICTED, PUBLISHED
from hosting.domain.reliability import NO_HISTORY
from hosting.models import Machine


class Offer(models.Model):
    """One slice (k GPUs and their share of the rest) at exact terms: an immutable quote.

    When terms or availability change the row is retired and a new one takes its place; an id never comes back.
    Some facts follow in place, because they are no terms: the lowest bid that would win now, the disk that is left, and
    how reliable the machine is. ``rentable`` says whether the slice can be rented on demand now. Sizes in MB and GB,
    prices in micro-dollars, bandwidths as named; names follow the public API.
    """

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="offers")
    host = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    content_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)
    rentable = models.BooleanField()
    rented = models.BooleanField()

    num_gpus = models.PositiveIntegerField()
    gpu_name = models.CharField(max_length=80)
    gpu_ram_mb = models.PositiveIntegerField()
    gpu_total_ram_mb = models.PositiveIntegerField()
    gpu_frac = models.FloatField()
    gpu_mem_bw_gbps = models.FloatField()
    gpu_lanes = models.PositiveIntegerField()
    gpu_max_power_w = models.PositiveIntegerField()
    gpu_max_temp_c = models.PositiveIntegerField()
    gpu_display_active = models.BooleanField()
    compute_cap = models.PositiveIntegerField(help_text="Capability x100.")
    total_flops_tflops = models.FloatField()
    pci_gen = models.PositiveIntegerField()
    pcie_bw_gbps = models.FloatField()
    cuda_max_good = models.FloatField()
    driver_version = models.CharField(max_length=40)
    driver_vers = models.BigIntegerField()

    cpu_name = models.CharField(max_length=120)
    cpu_arch = models.CharField(max_length=20)
    cpu_ghz = models.FloatField()
    has_avx = models.BooleanField()
    cpu_cores = models.PositiveIntegerField(help_text="Of the whole machine.")
    cpu_cores_effective = models.FloatField(help_text="The offer's share.")
    cpu_ram_mb = models.PositiveIntegerField(help_text="Of the whole machine.")
    disk_space_gb = models.PositiveIntegerField(help_text="The most disk a rental of this offer can get.")
    disk_bw_mbps = models.FloatField()
    disk_name = models.CharField(max_length=120)
    inet_up_mbps = models.FloatField()
    inet_down_mbps = models.FloatField()
    direct_port_count = models.PositiveIntegerField()
    mobo_name = models.CharField(max_length=120)
    os_version = models.CharField(max_length=80)
    hostname = models.CharField(max_length=255)
    public_ipaddr = models.CharField(max_length=255)
    geolocation = models.CharField(max_length=120, blank=True)
    country = models.CharField(max_length=2, blank=True)
    hosting_type = models.PositiveIntegerField(default=0)
    simulated = models.BooleanField()
    sandbox = models.CharField(max_length=8, blank=True, help_text="What the container runs in; empty for none.")

    dlperf = models.FloatField()
    dlperf_is_estimate = models.BooleanField()
    dlperf_source = models.CharField(
        max_length=10,
        choices=[(source, source) for source in (MEASURED, PUBLISHED, PREDICTED)],
        help_text="A run on this machine, published figures of the model, or the learned model.",
    )
    dlperf_fp32 = models.FloatField(help_text="DLPerf by single precision alone; as the others, of all GPUs.")
    dlperf_fp16 = models.FloatField()
    dlperf_bf16 = models.FloatField()
    dlperf_int8 = models.FloatField()
    dlperf_int8_is_estimate = models.BooleanField()
    reliability = models.FloatField()
    reliability_lower = models.FloatField(default=NO_HISTORY.lower)
    verification = models.CharField(max_length=12)

    gpu_micros_per_hour = models.BigIntegerField(help_text="On demand, for all GPUs of the offer.")
    min_bid_micros_per_hour = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="The least bid, for all GPUs of the offer, that would run now; empty where no bid would.",
    )
    storage_micros_per_gb_month = models.BigIntegerField()
    inet_up_micros_per_gb = models.BigIntegerField()
    inet_down_micros_per_gb = models.BigIntegerField()
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["machine", "num_gpus"],
                condition=models.Q(retired_at__isnull=True),
                name="one_live_offer_per_slice_size",
            ),
            models.CheckConstraint(condition=models.Q(sandbox__in=["", "gvisor", "kata"]), name="offer_sandbox_known"),
        ]
        indexes = [
            models.Index(
                fields=["gpu_name", "num_gpus"],
                condition=models.Q(retired_at__isnull=True),
                name="offer_live_by_gpu",
            )
        ]

    def __str__(self) -> str:
        return f"offer {self.pk}: {self.num_gpus}x {self.gpu_name}"
