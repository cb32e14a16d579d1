"""Accounts."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone


class UserManager(BaseUserManager["User"]):
    """Creates accounts that log in with an e-mail address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """One person or company. Any account may rent and host."""

    email = models.EmailField(unique=True)
    full_name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    is_simulated = models.BooleanField(default=False, help_text="Part of the demo market, not a person.")
    date_joined = models.DateTimeField(default=timezone.now)
    host_agreement_accepted_at = models.DateTimeField(null=True, blank=True)
    suspended_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when staff keep the account from everything."
    )
    suspended_reason = models.CharField(max_length=300, blank=True, help_text="Told to whoever has the account.")

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        permissions = [
            ("suspend_account", "Can suspend accounts and let them back"),
            ("impersonate_account", "Can see the site as a client does"),
            ("view_account_timeline", "Can view the timeline of an account"),
        ]
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_case_insensitive",
                violation_error_message="An account with this e-mail address exists already.",
            )
        ]

    def __str__(self) -> str:
        return self.email
