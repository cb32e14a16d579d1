"""What the libraries that sign people in tell, into the audit log."""

from collections.abc import Callable
from typing import Any

from allauth.account import signals as account_signals
from allauth.mfa import signals as mfa_signals
from django.contrib.auth.signals import user_logged_out, user_login_failed
from django.dispatch import Signal
from django.http import HttpRequest
from django.utils import timezone
from hijack.signals import hijack_ended, hijack_started

from hosting.domain.texts import clean
from marketplace.models import User
from marketplace.services.audit import audit_record

_KEPT: list[Callable[..., None]] = []
"""Django holds receivers weakly."""


def connect() -> None:
    """Listen; called once when Django starts."""
    _note(account_signals.user_logged_in, "sign_in")
    _note(user_logged_out, "sign_out")
    _note(account_signals.password_changed, "password.changed")
    _note(account_signals.user_signed_up, "account.created")
    _note(account_signals.password_set, "password.set")
    _note(account_signals.email_added, "email.added", _address)
    _note(account_signals.email_removed, "email.removed", _address)
    _note(account_signals.password_reset, "password.reset")
    _note(account_signals.email_changed, "email.changed", _addresses)
    _note(mfa_signals.authenticator_added, "second_factor.added", _factor)
    _note(mfa_signals.authenticator_removed, "second_factor.removed", _factor)
    _note(mfa_signals.authenticator_reset, "second_factor.reset", _factor)
    user_login_failed.connect(_failed)
    mfa_signals.authentication_failed.connect(_factor_failed)
    hijack_started.connect(_impersonation_begun)
    hijack_ended.connect(_impersonation_ended)


def _note(signal: Signal, action: str, say: Callable[[dict[str, Any]], str] = lambda _: "") -> None:
    def receive(*, user: User | None = None, **told: Any) -> None:
        if user is not None:
            audit_record(action=action, actor=user, account_id=user.pk, message=say(told), now=timezone.now())

    _KEPT.append(receive)
    signal.connect(receive)


def _addresses(told: dict[str, Any]) -> str:
    before, after = told.get("from_email_address"), told.get("to_email_address")
    return f"{getattr(before, 'email', '')} -> {getattr(after, 'email', '')}"


def _address(told: dict[str, Any]) -> str:
    return str(getattr(told.get("email_address"), "email", ""))


def _factor(told: dict[str, Any]) -> str:
    return str(getattr(told.get("authenticator"), "type", ""))


def _failed(*, credentials: dict[str, Any], **_told: Any) -> None:
    """Whose account was meant is told by the address that was typed, if there is such an account."""
    typed = clean(str(credentials.get("email") or credentials.get("username") or ""), 254)
    meant = User.objects.filter(email=typed.lower()).values_list("pk", flat=True).first()
    audit_record(action="sign_in.failed", actor=None, account_id=meant, message=typed, now=timezone.now())


def _factor_failed(*, user: User, **told: Any) -> None:
    message = f"second factor: {_factor(told)}"
    audit_record(action="sign_in.failed", actor=None, account_id=user.pk, message=message, now=timezone.now())


def _impersonation_begun(*, request: HttpRequest, hijacker: User, hijacked: User, **_told: Any) -> None:
    why = request.POST.get("reason", "")
    audit_record(action="impersonation.begun", actor=hijacker, account_id=hijacked.pk, message=why, now=timezone.now())


def _impersonation_ended(*, hijacker: User, hijacked: User, **_told: Any) -> None:
    audit_record(action="impersonation.ended", actor=hijacker, account_id=hijacked.pk, now=timezone.now())
