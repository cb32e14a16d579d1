"""Receives what billing tells: the marketplace has the mails."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

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
