"""Keys of one instance, besides those of its account."""

import pytest

from hosting.models import Task
from marketplace.errors import MarketError
from marketplace.models import Instance, InstanceKey
from marketplace.services.instance_keys import instance_key_attach, instance_key_detach
from marketplace.services.keys import ssh_key_add, ssh_key_delete
from marketplace.services.lifecycle import instance_destroy
from marketplace.services.rent import instance_rent
from tests.api.test_keys import public_key
from tests.plumbing import market
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db


@pytest.fixture
def instance() -> Instance:
    agent = market.listed_machine()
    return instance_rent(client=market.user(dollars=10), offer_id=market.offer(agent).pk, request=market.wish(), now=T0)


def opens(instance: Instance) -> list[str]:
    """Keys that the agent is told to let in."""
    return Task.objects.get(pk=instance.task_id).authorized_keys


def test_an_instance_opens_to_the_keys_of_its_account_and_its_own(instance: Instance) -> None:
    user, own, shared = instance.client, public_key("own"), public_key("shared")
    key = instance_key_attach(user=user, instance_id=instance.pk, text=own, now=T0)
    assert opens(instance) == [own]
    account_key = ssh_key_add(user=user, text=shared, now=T0)
    assert opens(instance) == [shared, own]
    ssh_key_delete(user=user, key_id=account_key.pk, now=T0)
    assert opens(instance) == [own]
    instance_key_detach(user=user, instance_id=instance.pk, key_id=key.pk, now=T0)
    assert opens(instance) == []
    kinds = list(instance.events.order_by("pk").values_list("kind", flat=True))
    assert kinds[-2:] == ["key_attached", "key_detached"]


def test_attaching_twice_is_attaching_once(instance: Instance) -> None:
    text = public_key()
    first, second = (
        instance_key_attach(user=instance.client, instance_id=instance.pk, text=f"{text}\n", now=T0) for _ in range(2)
    )
    assert (first.pk, InstanceKey.objects.count()) == (second.pk, 1)
    assert opens(instance) == [text]


def test_others_can_neither_attach_nor_detach(instance: Instance) -> None:
    key = instance_key_attach(user=instance.client, instance_id=instance.pk, text=public_key(), now=T0)
    stranger = market.user()
    with pytest.raises(MarketError, match="You have no instance"):
        instance_key_attach(user=stranger, instance_id=instance.pk, text=public_key(), now=T0)
    with pytest.raises(MarketError, match="You have no instance"):
        instance_key_detach(user=stranger, instance_id=instance.pk, key_id=key.pk, now=T0)
    with pytest.raises(MarketError, match="no SSH key"):
        instance_key_detach(user=instance.client, instance_id=instance.pk, key_id=key.pk + 1, now=T0)


def test_what_is_no_key_or_has_no_use_is_refused(instance: Instance) -> None:
    for text in ("", "~/.ssh/id_ed25519.pub", public_key()[:40]):
        with pytest.raises(MarketError) as refused:
            instance_key_attach(user=instance.client, instance_id=instance.pk, text=text, now=T0)
        assert (refused.value.code, refused.value.field) == ("bad_ssh_key", "ssh_key")
    Instance.objects.filter(pk=instance.pk).update(mode="args")
    with pytest.raises(MarketError, match="has no SSH server"):
        instance_key_attach(user=instance.client, instance_id=instance.pk, text=public_key(), now=T0)
    Instance.objects.filter(pk=instance.pk).update(mode="ssh")
    instance_destroy(instance_id=instance.pk, actor=instance.client, now=T0)
    with pytest.raises(MarketError, match="is being destroyed"):
        instance_key_attach(user=instance.client, instance_id=instance.pk, text=public_key(), now=T0)


def test_there_is_an_end_to_their_number(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace.services.instance_keys.MAX_INSTANCE_KEYS", 1)
    instance_key_attach(user=instance.client, instance_id=instance.pk, text=public_key(), now=T0)
    with pytest.raises(MarketError, match="Detach one first"):
        instance_key_attach(user=instance.client, instance_id=instance.pk, text=public_key(), now=T0)
