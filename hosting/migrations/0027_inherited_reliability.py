"""Where the reliability of a machine began whose GPUs had been in another."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosting", "0026_telemetry_quota")]

    operations = [
        migrations.AddField(
            model_name="machine",
            name="inherited_tracks",
            field=models.JSONField(
                blank=True,
                help_text="Where its reliability begins: what an earlier machine with its GPUs came to, faded until then.",
                null=True,
            ),
        ),
    ]
