"""Which hosts were asked a question is kept with it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """A list of accounts, empty for questions that were asked before: those are a week old soon."""

    dependencies = [("hosting", "0030_implausible")]

    operations = [
        migrations.AddField(
            model_name="challengequestion",
            name="hosts",
            field=models.JSONField(blank=True, default=list, help_text="Accounts whose machines were asked it."),
        ),
    ]
