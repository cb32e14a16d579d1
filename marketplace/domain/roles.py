"""What members of the staff may do who are no superusers: a few fixed roles, each a list of permissions. Pure."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

ROLES: dict[str, tuple[str, ...]] = {
    "support": (
        "marketplace.view_*",
        "marketplace.change_user",  # the name alone: see marketplace.admin_accounts
        "marketplace.impersonate_account",
        "marketplace.change_apikey",
        "hosting.view_*",
        "account.view_emailaddress",
        "billing.view_adjustmentrequest",
        "billing.add_adjustmentrequest",
        "billing.view_creditgrant",
        "billing.view_entry",
        "billing.view_hostinvoice*",
        "billing.view_ledgeraccount",
        "billing.view_payment*",
        "billing.view_payout",
        "billing.view_payouthold",
        "billing.view_posting",
    ),
    "finance": (
        "marketplace.view_user",
        "marketplace.view_account_timeline",
        "billing.view_*",
        "billing.add_accountterms",
        "billing.change_accountterms",
        "billing.add_adjustmentrequest",
        "billing.change_adjustmentrequest",
        "billing.add_creditgrant",
        "billing.add_paymentrefund",
        "billing.change_payout",
        "billing.change_payouthold",
        "billing.change_providerevent",
        "billing.change_termsrequest",
        "billing.change_weeklyrun",
    ),
    "trust": (
        "marketplace.view_*",
        "marketplace.suspend_account",
        "marketplace.change_apikey",
        "marketplace.change_instance",
        "marketplace.change_template",
        "hosting.view_*",
        "hosting.suspend_machine",
        "hosting.change_machine",
        "hosting.change_machinereport",
        "hosting.change_verificationcase",
        "hosting.add_quietperiod",
        "hosting.change_quietperiod",
        "account.view_emailaddress",
        "billing.view_payout",
        "billing.view_payouthold",
    ),
    "auditor": ("marketplace.view_*", "hosting.view_*", "billing.view_*", "account.view_emailaddress"),
}
"""Permissions by role; * stands for any number of letters. Nobody but superusers gives roles, changes what others sign
in with, switches features or decides which agent spreads."""


def permissions_of(role: str, existing: Iterable[str]) -> set[str]:
    """Those of the ``existing`` permissions ("app.codename") that the role has."""
    return {name for name in existing if any(fnmatchcase(name, pattern) for pattern in ROLES[role])}
