"""SSH keys and API keys of an account."""

from django.conf import settings
from django.db import models


class SshKey(models.Model):
    """A public key that opens all instances of its owner."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="ssh_keys")
    public_key = models.TextField(help_text="Type and base64 body, normalised, with the comment.")
    key_type = models.CharField(max_length=60)
    fingerprint = models.CharField(max_length=80, help_text="SHA256:… as ssh-keygen -l prints it.")
    comment = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "fingerprint"], name="ssh_key_once_per_user")]

    def __str__(self) -> str:
        return f"{self.key_type} {self.fingerprint}"


class InstanceKey(models.Model):
    """A public key that opens one instance, besides those of its client's account."""

    instance = models.ForeignKey("marketplace.Instance", on_delete=models.CASCADE, related_name="ssh_keys")
    public_key = models.TextField(help_text="Type and base64 body, normalised, with the comment.")
    key_type = models.CharField(max_length=60)
    fingerprint = models.CharField(max_length=80, help_text="SHA256:… as ssh-keygen -l prints it.")
    comment = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instance", "fingerprint"], name="instance_key_once_per_instance")
        ]

    def __str__(self) -> str:
        return f"{self.key_type} {self.fingerprint}"


class ApiKey(models.Model):
    """A named secret for the API. Shown once, stored hashed, revocable."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    key_hash = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
