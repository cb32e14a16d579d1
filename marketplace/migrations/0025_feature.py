from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("marketplace", "0024_isolation"),
        ("waffle", "0004_update_everyone_nullbooleanfield"),
    ]

    operations = [
        migrations.CreateModel(
            name="Feature",
            fields=[],
            options={
                "verbose_name": "feature",
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("waffle.flag",),
        ),
    ]
