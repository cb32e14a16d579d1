"""The parts of each machine's reliability, which cards show."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosting", "0027_inherited_reliability")]

    operations = [
        migrations.AddField(
            model_name="reliabilitystanding",
            name="availability",
            field=models.FloatField(help_text="0..1, as are the next two: what the figures are made of.", null=True),
        ),
        migrations.AddField(model_name="reliabilitystanding", name="launches", field=models.FloatField(null=True)),
        migrations.AddField(model_name="reliabilitystanding", name="checks", field=models.FloatField(null=True)),
    ]
