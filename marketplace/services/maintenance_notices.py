"""Tells clients that a machine of theirs will be worked on, and that it will not, or no longer."""

from datetime import datetime, timedelta

from hosting.domain.volumes import DELETED
from hosting.models import Machine, QuietPeriod, Volume
from marketplace.domain import instance_states as states
from marketplace.domain.notices import MAINTENANCE, VOLUME_MAINTENANCE
from marketplace.models import Instance, Notice
from marketplace.services.notices import News, account_notice_post, notices_post

MAILED_AFTER = timedelta(minutes=1)
"""So long a host has to notice its own mistake: what is called off by then is nobody's mail."""


def maintenance_tell(*, machine: Machine, period: QuietPeriod, now: datetime) -> None:
    """Everybody who has something on the machine, once, in the caller's transaction; by mail a little later."""
    span = f"from {period.starts_at:%Y-%m-%d %H:%M} to {period.ends_at:%Y-%m-%d %H:%M} UTC"
    text = (
        f"The host of machine {machine.pk} announced maintenance {span}. It may be away then; what is saved on "
        "disk is kept, and GPU time that you can't use is not charged."
    )
    if period.note:
        text += f" The host writes: {period.note}"
    things = _tell(machine, period, "announced", f"maintenance {span}", text, now)
    keys = [_key(thing, period, "announced") for thing in things]
    Notice.objects.filter(key__in=keys, mail_attempts=0).update(mail_next_at=now + MAILED_AFTER)


def maintenance_end_tell(*, machine: Machine, period: QuietPeriod, now: datetime) -> None:
    """The same people: it was called off, or is over. Two mails that would say that nothing happens are none."""
    is_off = period.ends_at <= period.starts_at
    if is_off:
        what, text = "maintenance called off", f"The maintenance of machine {machine.pk} was called off."
    else:
        what, text = "maintenance over", f"The maintenance of machine {machine.pk} ended at {now:%Y-%m-%d %H:%M} UTC."
    things = _tell(machine, period, "ended", what, text, now)
    if is_off:
        _fold(things, period)


def _fold(things: list[str], period: QuietPeriod) -> None:
    """Take back the mails of the announcement that nobody has begun to send, with those that call it off.

    The rows stay, and webhooks are told both: theirs may have left already.
    """
    begun = {_key(thing, period, "announced"): _key(thing, period, "ended") for thing in things}
    announced = Notice.objects.filter(key__in=begun, mailed_at=None, mail_attempts=0)
    announced.update(mail_next_at=None)
    folded = [begun[key] for key in announced.filter(mail_next_at=None).values_list("key", flat=True)]
    Notice.objects.filter(key__in=folded).update(mail_next_at=None)


def _key(thing: str, period: QuietPeriod, step: str) -> str:
    return f"{thing}:maintenance:{period.pk}:{step}"


def _tell(machine: Machine, period: QuietPeriod, step: str, what: str, text: str, now: datetime) -> list[str]:
    """Returns what everybody has there: "instance:12", or "machine:3:owner:4" for volumes."""
    data = {"starts_at": period.starts_at, "ends_at": period.ends_at}
    instances = Instance.objects.filter(machine=machine).exclude(state__in=(states.DESTROYING, states.DESTROYED))
    news = [
        News(
            instance=instance,
            kind=MAINTENANCE,
            key=_key(f"instance:{instance.pk}", period, step),
            subject=f"Instance {instance.pk}: {what}",
            text=text,
            data=data,
        )
        for instance in instances.order_by("pk")
    ]
    notices_post(news, now=now)
    told = {item.instance.client_id for item in news}
    volumes = Volume.objects.filter(machine=machine).exclude(state=DELETED).exclude(owner_id__in=told)
    owners = sorted(set(volumes.values_list("owner_id", flat=True)))
    for owner_id in owners:
        account_notice_post(
            owner_id=owner_id,
            kind=VOLUME_MAINTENANCE,
            key=_key(f"machine:{machine.pk}:owner:{owner_id}", period, step),
            subject=f"Your volume on machine {machine.pk}: {what}",
            text=text,
            data={"machine_id": machine.pk, **data},
            now=now,
        )
    return [f"instance:{item.instance.pk}" for item in news] + [f"machine:{machine.pk}:owner:{pk}" for pk in owners]
