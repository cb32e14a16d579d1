"""SSH keys that open one instance, besides those of its client's account; they take effect while it runs."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.locks import lock_machine
from hosting.services.tasks import task_set_authorized_keys
from marketplace.access import instance_for, instance_key_for
from marketplace.domain import instance_states as states
from marketplace.errors import MarketError
from marketplace.locks import share_machine
from marketplace.models import Instance, InstanceKey
from marketplace.services.keys import authorized_keys, key_checked, key_columns, key_fingerprint
from marketplace.services.transition import instance_event

MAX_INSTANCE_KEYS = 50


def instance_key_attach(*, user: AbstractBaseUser, instance_id: int, text: str, now: datetime) -> InstanceKey:
    """Let a pasted public key into one instance. Attaching a key twice is fine.

    Raises MarketError: no_such_instance, no_ssh (it is in another mode), bad_ssh_key with the reason and the fix,
    too_many_keys.
    """
    found = instance_for(user, instance_id)
    if not found.has_ssh:
        message = f"Instance {instance_id} runs a command of its own and has no SSH server, so keys open nothing in it."
        raise MarketError("no_ssh", message, status=409, field="ssh_key")
    parts = key_checked(text)
    with transaction.atomic():
        instance = _locked(user, found)
        key = instance.ssh_keys.filter(fingerprint=key_fingerprint(parts)).first()
        if key is not None:
            return key
        if instance.ssh_keys.count() >= MAX_INSTANCE_KEYS:
            message = f"The instance has {MAX_INSTANCE_KEYS} SSH keys of its own. Detach one first."
            raise MarketError("too_many_keys", message, field="ssh_key")
        columns = key_columns(parts) | {"fingerprint": key_fingerprint(parts)}
        key = InstanceKey.objects.create(instance=instance, created_at=now, **columns)
        instance_event(instance, "key_attached", now=now, actor=user, message=str(key))
        _tell_agent(instance)
    return key


@transaction.atomic
def instance_key_detach(*, user: AbstractBaseUser, instance_id: int, key_id: int, now: datetime) -> None:
    """Lock a key of its own out of an instance. Raises MarketError: no_such_instance, no_such_ssh_key."""
    instance = _locked(user, instance_for(user, instance_id))
    key = instance_key_for(user, instance_id, key_id)
    instance_event(instance, "key_detached", now=now, actor=user, message=str(key))
    key.delete()
    _tell_agent(instance)


def _locked(user: AbstractBaseUser, found: Instance) -> Instance:
    """The instance under its machine's lock, still the user's."""
    machine = lock_machine(found.machine_id)
    instance = instance_for(user, found.pk)
    share_machine(instance, machine)
    if instance.state in (states.DESTROYING, states.DESTROYED):
        raise MarketError("no_such_instance", f"Instance {found.pk} is being destroyed.", status=404)
    return instance


def _tell_agent(instance: Instance) -> None:
    task_set_authorized_keys(task=instance.task, keys=authorized_keys(instance.client, instance))
