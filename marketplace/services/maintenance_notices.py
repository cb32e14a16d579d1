"""Tells clients that a machine of theirs will be worked on, and that it will not, or no longer."""

from datetime import datetime

from hosting.domain.volumes import DELETED
from hosting.models import Machine, QuietPeriod, Volume
from marketplace.domain import instance_states as states
from marketplace.domain.notices import MAINTENANCE, VOLUME_MAINTENANCE
from marketplace.models import Instance
from marketplace.services.notices import News, account_notice_post, notices_post


def maintenance_tell(*, machine: Machine, period: QuietPeriod, now: datetime) -> None:
    """Everybody who has something on the machine, once, in the caller's transaction."""
    span = f"from {period.starts_at:%Y-%m-%d %H:%M} to {period.ends_at:%Y-%m-%d %H:%M} UTC"
    text = (
        f"The host of machine {machine.pk} announced maintenance {span}. It may be away then; what is saved on "
        "disk is kept, and GPU time that you can't use is not charged."
    )
    if period.note:
        text += f" The host writes: {period.note}"
    _tell(machine, period, "announced", f"maintenance {span}", text, now)


def maintenance_end_tell(*, machine: Machine, period: QuietPeriod, now: datetime) -> None:
    """The same people: it was called off, or is over."""
    if period.ends_at <= period.starts_at:
        what, text = "maintenance called off", f"The maintenance of machine {machine.pk} was called off."
    else:
        what, text = "maintenance over", f"The maintenance of machine {machine.pk} ended at {now:%Y-%m-%d %H:%M} UTC."
    _tell(machine, period, "ended", what, text, now)


def _tell(machine: Machine, period: QuietPeriod, step: str, what: str, text: str, now: datetime) -> None:
    data = {"starts_at": period.starts_at, "ends_at": period.ends_at}
    instances = Instance.objects.filter(machine=machine).exclude(state__in=(states.DESTROYING, states.DESTROYED))
    news = [
        News(
            instance=instance,
            kind=MAINTENANCE,
            key=f"instance:{instance.pk}:maintenance:{period.pk}:{step}",
            subject=f"Instance {instance.pk}: {what}",
            text=text,
            data=data,
        )
        for instance in instances.order_by("pk")
    ]
    notices_post(news, now=now)
    told = {item.instance.client_id for item in news}
    volumes = Volume.objects.filter(machine=machine).exclude(state=DELETED).exclude(owner_id__in=told)
    for owner_id in sorted(set(volumes.values_list("owner_id", flat=True))):
        account_notice_post(
            owner_id=owner_id,
            kind=VOLUME_MAINTENANCE,
            key=f"machine:{machine.pk}:maintenance:{period.pk}:{step}:{owner_id}",
            subject=f"Your volume on machine {machine.pk}: {what}",
            text=text,
            data={"machine_id": machine.pk, **data},
            now=now,
        )
