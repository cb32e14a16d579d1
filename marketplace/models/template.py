"""Templates: named launch configurations."""

from django.conf import settings
from django.db import models

from marketplace.domain.templates import HASH_CHARS, MAX_NAME_CHARS, TemplateContent, content_of


class Template(models.Model):
    """A named launch configuration. Its content is a document that ``marketplace.domain.templates`` reads."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="templates",
        help_text="Empty where the platform itself offers it.",
    )
    starter_key = models.CharField(
        max_length=40, null=True, blank=True, unique=True, help_text="Which template of the starter set this is."
    )
    hash_id = models.CharField(max_length=HASH_CHARS, db_index=True, help_text="Names the content; changes with it.")
    name = models.CharField(max_length=MAX_NAME_CHARS, help_text="As in the content, for lists.")
    document = models.JSONField(help_text="The content.")
    private = models.BooleanField(default=True)
    featured = models.BooleanField(default=False, help_text="Shown among the recommended ones.")
    hidden = models.BooleanField(default=False, help_text="Taken from public view by staff; its owner keeps it.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "hash_id"], condition=models.Q(deleted_at=None), name="template_once_per_owner"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.hash_id})"

    @property
    def content(self) -> TemplateContent:
        """What it says."""
        return content_of(self.document)


class TemplateVersion(models.Model):
    """What a template said before it was changed. Whoever rents by the old hash gets this. Never edited."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions")
    hash_id = models.CharField(max_length=HASH_CHARS, db_index=True)
    document = models.JSONField()
    replaced_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["template", "hash_id"], name="template_version_once")]

    def __str__(self) -> str:
        return f"{self.template_id} {self.hash_id}"
