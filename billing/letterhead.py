"""Who issues documents about money: this installation."""

from django.conf import settings

from billing.pdf import Letterhead


def letterhead() -> Letterhead:
    """The site's name and address, as they stand on every document."""
    return Letterhead(site_name=settings.SITE_NAME, site_address=settings.SITE_URL)
