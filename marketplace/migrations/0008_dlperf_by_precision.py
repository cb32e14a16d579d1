"""DLPerf of offers by precision.

Offers are made anew when anything about their machine changes. Until then those that are there have the balanced score in
every precision, as an estimate.
"""

from django.db import migrations, models
from django.db.models import F

PRECISIONS = ("dlperf_fp32", "dlperf_fp16", "dlperf_bf16", "dlperf_int8")
HELP = {"dlperf_fp32": "DLPerf by single precision alone; as the others, of all GPUs."}


def fill(apps, schema_editor):
    """The balanced score is the closest thing that is known."""
    offers = apps.get_model("marketplace", "Offer").objects.using(schema_editor.connection.alias)
    offers.update(**{name: F("dlperf") for name in PRECISIONS})


def field(name, **default):
    """The column, with a default while rows are there that have no value."""
    return models.FloatField(help_text=HELP.get(name, ""), **default)


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0007_offer_reliability_lower")]

    operations = [
        *(migrations.AddField("offer", name, field(name, default=0.0), preserve_default=False) for name in PRECISIONS),
        migrations.AddField(
            "offer", "dlperf_int8_is_estimate", models.BooleanField(default=True), preserve_default=False
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
