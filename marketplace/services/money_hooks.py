"""Receives what billing tells: the marketplace has the mails."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marketplace.models import User
from marketplace.services.audit import audit_record
from marketplace.services.notices import account_notice_post


class MoneyNotices:
    """The marketplace's ``MoneyHooks``."""

    def tell(
        self,
        *,
        owner_id: int,
        kind: str,
        key: str,
        subject: str,
        text: str,
        now: datetime,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """A mail, queued in the caller's transaction; ``key`` is unique among what billing tells."""
        account_notice_post(
            owner_id=owner_id, kind=kind, key=f"money:{key}", subject=subject, text=text, now=now, data=data
        )

    def audited(self, *, action: str, actor_id: int | None, owner_id: int, message: str, now: datetime) -> None:
        """See MoneyHooks."""
        actor = User.objects.filter(pk=actor_id or 0).first()
        audit_record(action=action, actor=actor, account_id=owner_id, message=message, now=now)
