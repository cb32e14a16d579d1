"""Sandboxes and user namespaces of machines, and the sandbox that a host's guests run in."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosting", "0023_erased_tasks")]

    operations = [
        migrations.AddField(
            "machine",
            "sandboxes",
            models.JSONField(
                blank=True, default=dict, help_text="Those that its engine has, each with why guests can't run in it."
            ),
        ),
        migrations.AddField(
            "machine",
            "user_namespaces",
            models.BooleanField(default=False, help_text="Root in its containers is an ordinary user to the machine."),
        ),
        migrations.AddField(
            "listing",
            "sandbox",
            models.CharField(
                choices=[("none", "None"), ("gvisor", "gVisor"), ("kata", "Kata Containers")],
                default="none",
                help_text="What guests run in.",
                max_length=8,
            ),
        ),
        migrations.AddConstraint(
            "listing",
            models.CheckConstraint(
                condition=models.Q(sandbox__in=["none", "gvisor", "kata"]), name="listing_sandbox_known"
            ),
        ),
    ]
