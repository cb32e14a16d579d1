"""What agents are told of volumes, and what else is read of them."""

from django.db.models import QuerySet, Sum

from agent.volume_protocol import DesiredVolume
from hosting.domain import volumes as rules
from hosting.models import Machine, Task, Volume, VolumeMount


def desired_volumes(machine_id: int) -> list[DesiredVolume]:
    """All volumes of the machine that are not gone. Only one that was never there may be made."""
    return [
        DesiredVolume(
            volume_id=volume.pk,
            label=rules.volume_label(volume.pk),
            state="removed" if volume.state == rules.DELETING else "present",
            size_gb=volume.size_gb,
            may_create=volume.ready_at is None and volume.state in rules.LIVE,
        )
        for volume in Volume.objects.filter(machine_id=machine_id).exclude(state=rules.DELETED).order_by("pk")
    ]


def volumes_given_gb(machine: Machine) -> int:
    """Gigabytes of the machine's disk that volumes hold, until the agent says that they are gone."""
    held = Volume.objects.filter(machine=machine).exclude(state=rules.DELETED)
    return held.aggregate(total=Sum("size_gb"))["total"] or 0


def volume_owner_ids(machine: Machine) -> set[int]:
    """Everybody who has a volume on the machine, or gives one up."""
    return set(Volume.objects.filter(machine=machine).exclude(state=rules.DELETED).values_list("owner_id", flat=True))


def live_mounts(volume: Volume) -> QuerySet[VolumeMount]:
    """Where the volume is, or may be still."""
    return VolumeMount.objects.filter(volume=volume, task__removed_at=None).select_related("task").order_by("task_id")


def mounts_of(task: Task) -> QuerySet[VolumeMount]:
    """The volumes of a task's container, by path."""
    return VolumeMount.objects.filter(task=task).select_related("volume").order_by("path")
