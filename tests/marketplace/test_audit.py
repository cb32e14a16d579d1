"""The audit log: what goes into it, what does not, and that nobody changes it."""

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from hosting.services.install_tokens import install_token_create, install_token_revoke
from marketplace.acting import Origin, origin
from marketplace.domain.audit import MOST_FIELDS, MOST_VALUE_CHARS, NOT_KEPT, Kept, kept_fields
from marketplace.models import AuditEntry
from marketplace.services.audit import audit_record
from marketplace.services.keys import api_key_create, api_key_revoke, ssh_key_add, ssh_key_delete
from marketplace.services.webhooks import webhook_remove, webhook_rotate, webhook_set
from tests.plumbing import market
from tests.plumbing.market import T0

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0z0PUyMOkFWcwVVbFBKX0sbsXmlgGzY7JZTGCPwgT1 ann@laptop"


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE marketplace_auditentry SET message = 'nothing happened'",
        "DELETE FROM marketplace_auditentry",
        "TRUNCATE marketplace_auditentry",
    ],
)
def test_the_database_itself_refuses_to_change_it(statement: str) -> None:
    audit_record(action="sign_in", actor=market.user(), now=T0)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert actions() == ["sign_in"]


@pytest.mark.django_db
def test_unknown_actions_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no action"):
        audit_record(action="coffee", actor=None, now=T0)


@pytest.mark.django_db
def test_entries_know_the_request_that_they_come_from() -> None:
    staff, client = market.user(), market.user()
    token = origin.set(Origin("203.0.113.9", "request-1", lambda: staff.pk))
    try:
        audit_record(action="sign_out", actor=client, account_id=client.pk, now=T0)
    finally:
        origin.reset(token)
    audit_record(action="sign_out", actor=client, account_id=client.pk, now=T0)
    first, second = AuditEntry.objects.order_by("pk")
    assert (first.address, first.request_id, first.behind_id) == ("203.0.113.9", "request-1", staff.pk)
    assert (second.address, second.request_id, second.behind_id) == ("", "", None)


@pytest.mark.django_db
def test_keys_tokens_and_webhooks_leave_entries_without_their_secrets() -> None:
    user = market.user()
    key, raw = api_key_create(user=user, name="laptop", now=T0)
    api_key_revoke(user=user, key_id=key.pk, now=T0)
    ssh = ssh_key_add(user=user, text=PUBLIC_KEY, now=T0)
    ssh_key_add(user=user, text=ssh.public_key, now=T0)  # there already: nothing happens
    ssh_key_delete(user=user, key_id=ssh.pk, now=T0)
    token, raw_token = install_token_create(host=user, now=T0, name="rig")
    install_token_revoke(host=user, token_id=token.pk, now=T0)
    secret = webhook_set(user=user, url="https://hooks.example.com/secret-path", now=T0)
    webhook_rotate(user=user, now=T0)
    webhook_remove(user=user, now=T0)
    assert actions() == [
        "api_key.created",
        "api_key.revoked",
        "ssh_key.added",
        "ssh_key.removed",
        "install_token.created",
        "install_token.revoked",
        "webhook.set",
        "webhook.rotated",
        "webhook.removed",
    ]
    kept = " ".join(f"{entry.message} {entry.details}" for entry in AuditEntry.objects.all())
    assert not [text for text in (raw, raw_token, secret, "secret-path") if text in kept]
    assert {entry.account_id for entry in AuditEntry.objects.all()} == {user.pk}


@pytest.mark.django_db
def test_what_is_undone_leaves_no_entry() -> None:
    user = market.user()
    with transaction.atomic():
        api_key_create(user=user, name="laptop", now=T0)
        transaction.set_rollback(True)
    assert actions() == []


def test_forms_are_kept_without_secrets() -> None:
    sent = [("reason", ["Fraud."]), ("password1", ["hunter2"]), ("csrfmiddlewaretoken", ["x"]), ("API_KEY", [""])]
    assert kept_fields(sent) == Kept({"reason": "Fraud.", "password1": NOT_KEPT, "API_KEY": ""}, 0)


def test_what_the_form_asks_for_is_not_pushed_out() -> None:
    padding = [(f"a{number:03}", ["x"]) for number in range(2 * MOST_FIELDS)]
    sent = [*padding, ("is_superuser\0", ["no"]), ("is_superuser", ["on"]), ("ends_1", ["18:00"])]
    kept = kept_fields(sent, {"is_superuser", "ends"})
    assert (kept.fields["is_superuser"], kept.fields["ends_1"]) == ("on", "18:00")
    assert kept.dropped == len(sent) - MOST_FIELDS


def test_of_a_field_that_is_sent_often_the_last_value_stays() -> None:
    kept = kept_fields([("is_staff", [*["no"] * 1000, "on"])]).fields["is_staff"]
    assert kept.endswith("no, on")
    assert len(kept) <= MOST_VALUE_CHARS


def test_names_that_look_the_same_hide_nothing() -> None:
    kept = kept_fields([("is_staff\0", ["no"]), ("is_staff", ["on"])], {"is_staff"})
    assert kept == Kept({"is_staff": "on"}, 1)


@given(st.dictionaries(st.text(), st.lists(st.text()), max_size=120))
def test_whatever_is_sent_can_be_stored(sent: dict[str, list[str]]) -> None:
    kept = kept_fields(sent.items()).fields
    assert len(kept) <= MOST_FIELDS
    for name, value in kept.items():
        assert len(name) <= 80
        assert len(value) <= MOST_VALUE_CHARS
        assert "\0" not in name + value
        (name + value).encode()


@pytest.mark.django_db
def test_nobody_stands_behind_themselves() -> None:
    staff = market.user()
    token = origin.set(Origin(behind=lambda: staff.pk))
    try:
        entry = audit_record(action="impersonation.begun", actor=staff, now=T0)
    finally:
        origin.reset(token)
    assert (entry.actor_id, entry.behind_id) == (staff.pk, None)
