"""Benchmarks whose figures no GPU of the model can reach."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosting", "0029_toolkit_version")]

    operations = [
        migrations.AddField(
            "measurement",
            "is_implausible",
            models.BooleanField(
                default=False, help_text="No such GPU can do that; the message says what. The score counts nowhere."
            ),
        ),
    ]
