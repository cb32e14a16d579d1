"""What was agreed with an account, or else holds for all."""

from datetime import timedelta

from django.conf import settings

from billing.domain.money import MICROS_PER_DOLLAR
from billing.domain.running_out import DebtTerms
from billing.models import AccountTerms


def debt_terms() -> DebtTerms:
    """How long and how far into debt disks are kept."""
    grace = timedelta(days=settings.DEBT_GRACE_DAYS)
    return DebtTerms(grace=grace, limit_micros=settings.DEBT_LIMIT_DOLLARS * MICROS_PER_DOLLAR)


def least_spend_limit_micros() -> int:
    """What every client may spend an hour, in micro-dollars, unless staff decided otherwise."""
    dollars: int = settings.SPEND_LIMIT_DOLLARS_PER_HOUR
    return dollars * MICROS_PER_DOLLAR


def host_share_bps_of(owner_id: int) -> int:
    """The host's part of its new contracts, in hundredths of a percent."""
    agreed = AccountTerms.objects.filter(owner_id=owner_id).values_list("host_share_bps", flat=True).first()
    share_bps: int = settings.PLATFORM_HOST_SHARE_BPS
    return share_bps if agreed is None else agreed
