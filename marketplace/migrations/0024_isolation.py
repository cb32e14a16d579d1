"""The sandbox that the containers of an offer run in."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0023_reports")]

    operations = [
        migrations.AddField(
            "offer",
            "sandbox",
            models.CharField(
                blank=True, default="", help_text="What the container runs in; empty for none.", max_length=8
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            "offer",
            models.CheckConstraint(condition=models.Q(sandbox__in=["", "gvisor", "kata"]), name="offer_sandbox_known"),
        ),
    ]
