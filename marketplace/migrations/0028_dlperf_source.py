"""Where an offer's DLPerf comes from.

Of offers that are there already it is told by what their machine has now; offers are made anew when anything about
their machine changes.
"""

from django.db import migrations, models

SOURCES = ("measured", "published", "predicted")


def fill(apps, schema_editor):
    """Everything is published but what was measured or is an estimate."""
    offers = apps.get_model("marketplace", "Offer").objects.using(schema_editor.connection.alias)
    offers.filter(dlperf_is_estimate=True).update(dlperf_source="predicted")
    offers.filter(machine__measured_scores__isnull=False).update(dlperf_source="measured")


class Migration(migrations.Migration):
    dependencies = [("hosting", "0030_implausible"), ("marketplace", "0027_amounts_of_cases_held")]

    operations = [
        migrations.AddField(
            "offer",
            "dlperf_source",
            models.CharField(
                max_length=10,
                choices=[(source, source) for source in SOURCES],
                default="published",
                help_text="A run on this machine, published figures of the model, or the learned model.",
            ),
            preserve_default=False,
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
