"""How much a client may spend."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Sum

from billing.domain.spend_limit import History, spend_limit_micros
from billing.models import AccountKind, AccountTerms, LedgerAccount, Meter
from billing.selectors.balances import posted_balance_micros
from billing.selectors.terms import least_spend_limit_micros


def client_spend_limit_micros(user: AbstractBaseUser) -> int:
    """The most that all the client rents may cost together, in micro-dollars per hour."""
    terms = AccountTerms.objects.filter(owner_id=user.pk)
    agreed = terms.values_list("spend_limit_micros_per_hour", flat=True).first()
    return usual_spend_limit_micros(user) if agreed is None else agreed


def usual_spend_limit_micros(user: AbstractBaseUser) -> int:
    """The same where staff agreed on nothing else."""
    return spend_limit_micros(_history(user), least_spend_limit_micros())


def _history(user: AbstractBaseUser) -> History:
    account = LedgerAccount.objects.filter(kind=AccountKind.CLIENT_CREDIT, owner_id=user.pk, reference="").first()
    if account is None:
        return History(0, 0, 0)
    used = Meter.objects.filter(payer_id=user.pk).aggregate(total=Sum("posted_micros"))["total"] or 0
    return History(account.granted_micros, used, posted_balance_micros(account))
