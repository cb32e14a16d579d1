"""The version of NVIDIA's container toolkit that a machine's agent tells."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosting", "0028_reliability_parts")]

    operations = [
        migrations.AddField(
            "machine",
            "toolkit_version",
            models.CharField(
                blank=True,
                default="",
                help_text="Of NVIDIA's container toolkit; empty where its agent does not tell it.",
                max_length=40,
            ),
            preserve_default=False,
        ),
    ]
