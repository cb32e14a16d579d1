"""SSH keys and API keys of an account."""

import base64
import hashlib
import secrets
from datetime import datetime
from functools import partial

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.locks import lock_machine
from hosting.services.tasks import task_set_authorized_keys
from marketplace.access import api_key_for, ssh_key_for
from marketplace.domain import instance_states as states
from marketplace.domain.copies import OPEN, key_line
from marketplace.domain.ssh_key_text import BadKeyTextError, KeyParts, split_key
from marketplace.errors import MarketError
from marketplace.gateways.ssh_keys import check_key
from marketplace.locks import share_machine
from marketplace.models import ApiKey, Instance, SshKey
from marketplace.services.audit import audit_record

API_KEY_PREFIX = "syk_"
MAX_KEYS = 50


def api_key_hash(raw: str) -> str:
    """Hex SHA-256; the keys are long and random, so a fast hash is enough."""
    return hashlib.sha256(raw.encode()).hexdigest()


def authorized_keys(user: AbstractBaseUser, instance: Instance | None = None) -> list[str]:
    """The lines of authorized_keys for the user's instances, or for this one: the account's keys, then its
    own, then those that open it to one copy each."""
    lines = list(SshKey.objects.filter(user_id=user.pk).order_by("pk").values_list("public_key", flat=True))
    if instance is not None:
        lines += instance.ssh_keys.order_by("pk").values_list("public_key", flat=True)
        lines += [
            key_line(copy.public_key, copy.source_path, copy.pk)
            for copy in instance.copies_out.filter(state=OPEN).order_by("pk")
        ]
    return lines


def ssh_key_add(*, user: AbstractBaseUser, text: str, now: datetime) -> SshKey:
    """Store a pasted public key and let it into the user's instances. Adding a key twice is fine.

    Raises MarketError: bad_ssh_key with the reason and the fix, too_many_keys.
    """
    parts = key_checked(text)
    with transaction.atomic():
        if SshKey.objects.filter(user_id=user.pk).count() >= MAX_KEYS:
            raise MarketError("too_many_keys", f"You have {MAX_KEYS} SSH keys. Delete one first.", field="ssh_key")
        key, is_new = SshKey.objects.get_or_create(
            user_id=user.pk, fingerprint=key_fingerprint(parts), defaults=key_columns(parts) | {"created_at": now}
        )
        if is_new:
            _audit("ssh_key.added", user, key.fingerprint, now)
        instances_rekey(user=user)
    return key


def _audit(action: str, user: AbstractBaseUser, which: str, now: datetime) -> None:
    audit_record(action=action, actor=user, account_id=user.pk, message=which, now=now)


@transaction.atomic
def ssh_key_replace(*, user: AbstractBaseUser, key_id: int, text: str, now: datetime) -> SshKey:
    """Put another key in the place of one. Raises MarketError: no_such_ssh_key, bad_ssh_key."""
    ssh_key_delete(user=user, key_id=key_id, now=now)
    return ssh_key_add(user=user, text=text, now=now)


@transaction.atomic
def ssh_key_delete(*, user: AbstractBaseUser, key_id: int, now: datetime) -> None:
    """Forget a key and lock it out of the user's instances. Raises MarketError(no_such_ssh_key)."""
    key = ssh_key_for(user, key_id)
    key.delete()
    _audit("ssh_key.removed", user, key.fingerprint, now)
    instances_rekey(user=user)


def instances_rekey(*, user: AbstractBaseUser) -> None:
    """Tell the agents of the user's instances who may log in now; once more after the commit.

    A rental or another change of keys that runs at the same time sees neither our change nor we its. Whoever commits
    last looks again, so in the end every instance has the keys that the account has.
    """
    instances_keep_keys(user_id=user.pk)
    transaction.on_commit(partial(instances_keep_keys, user_id=user.pk))


def instances_keep_keys(*, user_id: int) -> None:
    """Bring the authorized keys of all the account's live instances to the account's keys."""
    live = Instance.objects.filter(client_id=user_id).exclude(state__in=(states.DESTROYING, states.DESTROYED))
    for instance_id in live.order_by("machine_id", "pk").values_list("pk", flat=True):
        instance_keep_keys(instance_id=instance_id)


@transaction.atomic
def instance_keep_keys(*, instance_id: int) -> None:
    """Bring one instance's authorized keys to its account's and its own, read under the machine's lock: so the last
    one is right.

    No ledger account is locked: who does this for several machines at once must not hold one while it waits for the
    next machine.
    """
    machine = lock_machine(Instance.objects.values_list("machine_id", flat=True).get(pk=instance_id))
    instance = Instance.objects.select_related("task", "client").get(pk=instance_id)
    share_machine(instance, machine)
    task_set_authorized_keys(task=instance.task, keys=authorized_keys(instance.client, instance))


def key_checked(text: str) -> KeyParts:
    """A pasted public key, complete and strong enough. Raises MarketError(bad_ssh_key) with the reason and the fix."""
    try:
        parts = split_key(text)
        check_key(parts)
    except BadKeyTextError as error:
        raise MarketError("bad_ssh_key", str(error), field="ssh_key") from error
    return parts


def key_fingerprint(parts: KeyParts) -> str:
    """As ``ssh-keygen -l`` prints it."""
    digest = hashlib.sha256(parts.blob).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def key_columns(parts: KeyParts) -> dict[str, str]:
    """What is kept of a key beside its fingerprint."""
    return {"public_key": parts.line(), "key_type": parts.key_type, "comment": parts.comment}


@transaction.atomic
def api_key_create(*, user: AbstractBaseUser, name: str, now: datetime) -> tuple[ApiKey, str]:
    """A new key and its text, which is never shown again. Raises MarketError: invalid_args, too_many_keys."""
    name = name.strip()
    if not name or len(name) > 80:
        raise MarketError("invalid_args", "Give the key a name of 1 to 80 characters.", field="name")
    if ApiKey.objects.filter(user_id=user.pk, revoked_at=None).count() >= MAX_KEYS:
        raise MarketError("too_many_keys", f"You have {MAX_KEYS} API keys. Revoke one first.", field="name")
    raw = API_KEY_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(user_id=user.pk, name=name, key_hash=api_key_hash(raw), prefix=raw[:10], created_at=now)
    _audit("api_key.created", user, f"{key.prefix} {name}", now)
    return key, raw


@transaction.atomic
def api_key_revoke(
    *, user: AbstractBaseUser, key_id: int, now: datetime, actor: AbstractBaseUser | None = None
) -> None:
    """Make the user's key useless, by the wish of ``actor`` if not its own. Raises MarketError(no_such_api_key)."""
    key = api_key_for(user, key_id)
    key.revoked_at = now
    key.save(update_fields=["revoked_at"])
    audit_record(
        action="api_key.revoked", actor=actor or user, account_id=user.pk, message=f"{key.prefix} {key.name}", now=now
    )
