"""What staff change of accounts, into the audit log by name."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marketplace.models import User
from marketplace.services.audit import audit_record

WATCHED = ("email", "full_name", "is_active", "is_staff", "is_superuser", "host_agreement_accepted_at")


def account_facts(user_id: int) -> dict[str, Any]:
    """What is written down about an account when staff change it, as the database has it now."""
    user = User.objects.get(pk=user_id)
    facts = {name: getattr(user, name) for name in WATCHED}
    accepted = facts["host_agreement_accepted_at"]
    roles = sorted(user.groups.values_list("name", flat=True))
    return facts | {"host_agreement_accepted_at": accepted and accepted.isoformat(), "roles": roles}


def account_change_note(*, user_id: int, before: Mapping[str, Any], actor: User, now: datetime) -> None:
    """Write down what is different from ``before``; nothing where nothing is."""
    after = account_facts(user_id)
    changes = {name: [before.get(name), after[name]] for name in after if before.get(name) != after[name]}
    if changes:
        said = ", ".join(f"{name}: {old} -> {new}" for name, (old, new) in changes.items())
        audit_record(
            action="account.changed" if before else "account.created",
            actor=actor,
            account_id=user_id,
            message=said,
            details={"changes": changes},
            now=now,
        )
