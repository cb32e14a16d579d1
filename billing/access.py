"""Who sees what of money: views get these objects no other way."""

from django.contrib.auth.base_user import AbstractBaseUser

from billing.domain.errors import UnknownInvoiceError
from billing.models import HostInvoice


def invoice_for(user: AbstractBaseUser, number: str) -> HostInvoice:
    """The host's own invoice by its number. Raises UnknownInvoiceError, a 404, also for those of others."""
    invoice = HostInvoice.objects.filter(host_id=user.pk, number=number).first()
    if invoice is None:
        raise UnknownInvoiceError("There is no such invoice.")
    return invoice
