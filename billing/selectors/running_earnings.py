"""What a host earns at this moment."""

from dataclasses import dataclass

from django.contrib.auth.base_user import AbstractBaseUser

from billing.models import Meter, MeterKind

_BPS = 10_000


@dataclass(frozen=True, slots=True)
class EarningNow:
    """The host's part of a meter that runs, in micro-dollars per hour; ``thing`` is what is rented, "instance:12"."""

    earner: str
    thing: str
    kind: str
    micros_per_hour: int

    @property
    def is_gpu(self) -> bool:
        return self.kind == MeterKind.GPU


def earning_now(host: AbstractBaseUser) -> list[EarningNow]:
    """All that runs by time and earns for the host, the oldest first. One query."""
    running = Meter.objects.filter(payee_id=host.pk, closed_at=None, running_since__isnull=False)
    rows = running.order_by("pk").values_list("earner", "reference", "kind", "rate_micros", "host_share_bps")
    return [
        EarningNow(earner, ":".join(reference.split(":")[:2]), kind, rate_micros * share_bps // _BPS)
        for earner, reference, kind, rate_micros, share_bps in rows
        if kind != MeterKind.TRAFFIC
    ]
