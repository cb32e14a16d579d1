"""How many windows of measurements came of each machine in the present hour."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosting", "0025_staff_rights")]

    operations = [
        migrations.AddField(
            model_name="telemetryreceipt",
            name="hour",
            field=models.DateTimeField(help_text="The hour that ``taken`` is of.", null=True),
        ),
        migrations.AddField(
            model_name="telemetryreceipt",
            name="taken",
            field=models.PositiveIntegerField(default=0, help_text="How many windows came in this hour."),
        ),
    ]
