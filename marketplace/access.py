"""One gate per object type: outsiders get the same answer as for something that does not exist."""

from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from hosting.domain.jobs import KEPT_FOR
from hosting.domain.machine_reports import ASKED_FOR_DAYS
from hosting.domain.volumes import DELETED
from hosting.models import Volume
from marketplace.errors import MarketError
from marketplace.models import ApiKey, Instance, InstanceKey, Offer, SshKey, Template


def instance_for(user: AbstractBaseUser, instance_id: int) -> Instance:
    """The user's own instance that is not destroyed. Raises MarketError(no_such_instance, 404) otherwise."""
    instance = (
        Instance.objects.select_related("machine", "task", "offer")
        .filter(pk=instance_id, client_id=user.pk)
        .exclude(state="destroyed")
        .first()
    )
    if instance is None:
        raise MarketError("no_such_instance", f"You have no instance {instance_id}.", status=404)
    return instance


def instance_with_log_for(user: AbstractBaseUser, instance_id: int, now: datetime) -> Instance:
    """The user's own instance, also one that was destroyed as long as its log is kept.

    Raises MarketError(no_such_instance, 404) otherwise.
    """
    instance = (
        Instance.objects.select_related("machine", "task", "offer")
        .filter(pk=instance_id, client_id=user.pk)
        .filter(Q(destroyed_at=None) | Q(destroyed_at__gt=now - KEPT_FOR))
        .first()
    )
    if instance is None:
        raise MarketError("no_such_instance", f"You have no instance {instance_id}.", status=404)
    return instance


def instance_to_report_for(user: AbstractBaseUser, instance_id: int, now: datetime) -> Instance:
    """The user's own instance, also one that was destroyed lately enough to report its machine.

    Raises MarketError(no_such_instance, 404) otherwise.
    """
    lately = Q(destroyed_at=None) | Q(destroyed_at__gt=now - timedelta(days=ASKED_FOR_DAYS))
    instance = Instance.objects.select_related("machine").filter(lately, pk=instance_id, client_id=user.pk).first()
    if instance is None:
        raise MarketError("no_such_instance", f"You have no instance {instance_id}.", status=404)
    return instance


def ssh_key_for(user: AbstractBaseUser, key_id: int) -> SshKey:
    """The user's own SSH key. Raises MarketError(no_such_ssh_key, 404) otherwise."""
    key = SshKey.objects.filter(pk=key_id, user_id=user.pk).first()
    if key is None:
        raise MarketError("no_such_ssh_key", f"You have no SSH key {key_id}.", status=404)
    return key


def instance_key_for(user: AbstractBaseUser, instance_id: int, key_id: int) -> InstanceKey:
    """A key of the user's own instance. Raises MarketError(no_such_instance, no_such_ssh_key; 404) otherwise."""
    key = instance_for(user, instance_id).ssh_keys.filter(pk=key_id).first()
    if key is None:
        raise MarketError("no_such_ssh_key", f"Instance {instance_id} has no SSH key {key_id} of its own.", status=404)
    return key


def api_key_for(user: AbstractBaseUser, key_id: int) -> ApiKey:
    """The user's own API key that is not revoked. Raises MarketError(no_such_api_key, 404) otherwise."""
    key = ApiKey.objects.filter(pk=key_id, user_id=user.pk, revoked_at=None).first()
    if key is None:
        raise MarketError("no_such_api_key", f"You have no API key {key_id}.", status=404)
    return key


def offer_for_display(offer_id: int) -> Offer:
    """An offer, also one that is gone: whoever has its number may look at it. Raises MarketError(no_such_ask, 404)."""
    offer = Offer.objects.select_related("machine").filter(pk=offer_id).first()
    if offer is None:
        raise MarketError("no_such_ask", f"There is no offer {offer_id}.", status=404)
    return offer


def visible_templates(user: AbstractBaseUser | AnonymousUser) -> QuerySet[Template]:
    """The user's own templates, and those that anybody may see."""
    shown = Q(private=False, hidden=False)
    if user.pk is not None:
        shown |= Q(owner_id=user.pk)
    return Template.objects.filter(shown, deleted_at=None).select_related("owner")


def template_for(user: AbstractBaseUser | AnonymousUser, template_id: int) -> Template:
    """A template that the user may see and rent with. Raises MarketError(no_such_template, 404) otherwise."""
    found = visible_templates(user).filter(pk=template_id).first()
    if found is None:
        raise MarketError("no_such_template", f"There is no template {template_id}.", status=404)
    return found


def template_of(owner: AbstractBaseUser, template_id: int) -> Template:
    """The user's own template. Raises MarketError: no_such_template (404), not_yours (403) for others' public ones."""
    found = template_for(owner, template_id)
    if found.owner_id != owner.pk:
        raise MarketError("not_yours", "This template belongs to somebody else: make a copy of your own.", status=403)
    return found


def volumes_of(owner: AbstractBaseUser) -> QuerySet[Volume]:
    """The user's volumes that are not gone, newest first."""
    return Volume.objects.select_related("machine").filter(owner_id=owner.pk).exclude(state=DELETED).order_by("-pk")


def volume_for(user: AbstractBaseUser, volume_id: int) -> Volume:
    """The user's own volume that is not gone. Raises MarketError(no_such_volume, 404) otherwise."""
    volume = volumes_of(user).filter(pk=volume_id).first()
    if volume is None:
        raise MarketError("no_such_volume", f"You have no volume {volume_id}.", status=404)
    return volume
