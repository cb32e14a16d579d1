"""What the audit log records, and what it must not keep."""

import re
from collections.abc import Iterable, Mapping

from hosting.domain.texts import clean

ACTIONS = {
    "admin.act": "Something was sent in the administration",
    "impersonation.begun": "Staff began to see the site as somebody",
    "impersonation.ended": "Staff stopped seeing the site as somebody",
    "account.suspended": "An account was suspended",
    "account.restored": "A suspension of an account was lifted",
    "machine.suspended": "A machine was suspended",
    "machine.restored": "A suspension of a machine was lifted",
    "machine.removed": "A host removed a machine",
    "feature.switched": "A feature was switched on or off",
    "sign_in": "Signed in",
    "sign_in.failed": "Signing in failed",
    "sign_out": "Signed out",
    "password.changed": "The password was changed",
    "password.reset": "The password was set anew by a mailed link",
    "email.changed": "The e-mail address was changed",
    "second_factor.added": "A second factor was added",
    "second_factor.removed": "A second factor was removed",
    "second_factor.reset": "The recovery codes were made anew",
    "api_key.created": "An API key was created",
    "api_key.revoked": "An API key was revoked",
    "ssh_key.added": "An SSH key was added",
    "ssh_key.removed": "An SSH key was removed",
    "registry_login.saved": "A login to a registry was stored",
    "registry_login.deleted": "A login to a registry was deleted",
    "webhook.set": "A webhook was set",
    "webhook.rotated": "A webhook's secret was made anew",
    "webhook.removed": "A webhook was removed",
    "install_token.created": "An install token was created",
    "install_token.revoked": "An install token was revoked",
    "payout_method.changed": "Where payouts go was changed",
}
"""Every action by its code, with a sentence for people."""

MOST_FIELDS = 40
MOST_VALUE_CHARS = 200
NOT_KEPT = "(not kept)"
_SECRET = re.compile(r"pass|secret|token|key|code|credential", re.IGNORECASE)
_OF_NO_INTEREST = frozenset({"csrfmiddlewaretoken", "_selected_action", "select_across", "index", "_save", "_continue"})


def kept_fields(sent: Iterable[tuple[str, list[str]]]) -> Mapping[str, str]:
    """What was sent with a form, without secrets and cut to a size: the first MOST_FIELDS fields by name."""
    fields = sorted((name, values) for name, values in sent if name not in _OF_NO_INTEREST)
    return {clean(name, 80): _kept(name, ", ".join(values)) for name, values in fields[:MOST_FIELDS]}


def _kept(name: str, value: str) -> str:
    if _SECRET.search(name) and value:
        return NOT_KEPT
    return clean(value, MOST_VALUE_CHARS)
