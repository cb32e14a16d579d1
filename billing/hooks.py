"""What billing tells the layers above it, inside the transaction of the change.

Billing knows accounts and money, not mails and pages. The marketplace registers its ``MoneyHooks`` when Django starts.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol


class MoneyHooks(Protocol):
    """Implemented by the marketplace."""

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
        """Tell an account something about its money by mail, once for each ``key``.

        ``kind`` is one of ``billing.domain.notices.KINDS``, ``subject`` one line, ``text`` plain sentences.
        """

    def audited(self, *, action: str, actor_id: int | None, owner_id: int, message: str, now: datetime) -> None:
        """Something that concerns the security of an account's money goes into the audit log; ``action`` is known to
        it."""


class _Registry:
    money: MoneyHooks | None = None


def register(money: MoneyHooks) -> None:
    """Make ``money`` the receiver of all calls."""
    _Registry.money = money


def money() -> MoneyHooks:
    """The registered receiver; RuntimeError when the project was assembled without one."""
    if _Registry.money is None:
        raise RuntimeError("no MoneyHooks registered: the marketplace app is not installed")
    return _Registry.money
