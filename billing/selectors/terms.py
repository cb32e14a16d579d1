"""What was agreed with an account, or else holds for all."""

from django.conf import settings

from billing.models import AccountTerms


def host_share_bps_of(owner_id: int) -> int:
    """The host's part of its new contracts, in hundredths of a percent."""
    agreed = AccountTerms.objects.filter(owner_id=owner_id).values_list("host_share_bps", flat=True).first()
    share_bps: int = settings.PLATFORM_HOST_SHARE_BPS
    return share_bps if agreed is None else agreed
