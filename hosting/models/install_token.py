"""Install tokens: what a host hands to a new agent."""

from django.conf import settings
from django.db import models

from hosting.models.machine import Machine


class InstallToken(models.Model):
    """Lets one agent register one machine for its host. Only a hash is stored."""

    host = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="install_tokens")
    name = models.CharField(max_length=80, blank=True)
    token_hash = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    machine = models.OneToOneField(
        Machine, null=True, blank=True, on_delete=models.PROTECT, related_name="install_token"
    )

    def __str__(self) -> str:
        return f"{self.prefix}…"
