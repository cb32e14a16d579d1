"""Logins to image registries that an account keeps."""

from django.conf import settings
from django.db import models

from hosting.domain.registries import MAX_REGISTRY_CHARS, MAX_USERNAME_CHARS


class RegistryLogin(models.Model):
    """One for each registry. Never shown again, and given to the agents only that run the account's instances."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="registry_logins")
    registry = models.CharField(max_length=MAX_REGISTRY_CHARS)
    username = models.CharField(max_length=MAX_USERNAME_CHARS)
    sealed = models.TextField(help_text="All of the login, encrypted: hosting.sealed_logins.")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "registry"], name="registry_login_once_per_registry")]

    def __str__(self) -> str:
        return f"a login to {self.registry}"
