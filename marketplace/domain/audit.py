"""What the audit log records, and what it must not keep."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hosting.domain.texts import clean

ACTIONS = {
    "admin.act": "Something was sent in the administration",
    "impersonation.begun": "Staff began to see the site as somebody",
    "impersonation.ended": "Staff stopped seeing the site as somebody",
    "account.created": "An account was made",
    "account.changed": "Staff changed an account",
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
    "password.set": "A password was set where there was none",
    "password.set_by_staff": "Staff set the password",
    "password.reset": "The password was set anew by a mailed link",
    "email.changed": "The e-mail address was changed",
    "email.added": "An e-mail address was added",
    "email.removed": "An e-mail address was removed",
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
    "credit.granted": "Credit was given by hand",
    "terms.changed": "What is agreed with an account was changed",
    "payouts.held": "Staff hold an account's payouts",
    "payouts.released": "Staff let an account's payouts go",
    "payout_method.changed": "Where payouts go was changed",
}
"""Every action by its code, with a sentence for people."""

MOST_FIELDS = 100
MOST_VALUE_CHARS = 200
NOT_KEPT = "(not kept)"
CUT = " ... "
_SECRET = re.compile(r"pass|secret|token|key|code|credential", re.IGNORECASE)
_OF_NO_INTEREST = frozenset({"csrfmiddlewaretoken", "_selected_action", "_save", "_continue"})
_PART_OF_FIELD = re.compile(r"_[0-9]$")
"""How names of widgets end that one field has several of, such as day and time."""


@dataclass(frozen=True)
class Kept:
    """What is kept of a form that was sent, by name, and how many of its fields are not."""

    fields: Mapping[str, str]
    dropped: int


def kept_fields(sent: Iterable[tuple[str, list[str]]], known: Collection[str] = ()) -> Kept:
    """What was sent with a form, without secrets and cut to a size.

    What the form asks for, ``known``, comes first: whoever sends much else pushes out nothing of it, nor do names that
    look the same once they are cleaned.
    """
    fields = [(name, values) for name, values in sent if name not in _OF_NO_INTEREST]
    fields.sort(key=lambda field: (_PART_OF_FIELD.sub("", field[0]) not in known and field[0] not in known, field[0]))
    kept: dict[str, str] = {}
    for name, values in fields[:MOST_FIELDS]:
        kept.setdefault(clean(name, 80), _kept(name, ", ".join(values)))
    return Kept(kept, len(fields) - len(kept))


def _kept(name: str, value: str) -> str:
    if _SECRET.search(name) and value:
        return NOT_KEPT
    value = clean(value)
    if len(value) <= MOST_VALUE_CHARS:
        return value
    half = (MOST_VALUE_CHARS - len(CUT)) // 2  # of several values of one field the last one counts: the end stays
    return value[:half] + CUT + value[-half:]
