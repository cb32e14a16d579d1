"""The audit log: entries are only ever added. Emptying every table at once, as test runners do, stays possible."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

RULES = """
CREATE FUNCTION marketplace_audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER marketplace_audit_immutable BEFORE UPDATE OR DELETE ON marketplace_auditentry
    FOR EACH ROW EXECUTE FUNCTION marketplace_audit_refuse_change();

CREATE FUNCTION marketplace_audit_refuse_emptying() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM marketplace_user) THEN
        RAISE EXCEPTION 'the audit log is append-only: TRUNCATE is refused' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER marketplace_audit_not_emptied AFTER TRUNCATE ON marketplace_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION marketplace_audit_refuse_emptying();
"""

NO_RULES = """
DROP TRIGGER marketplace_audit_not_emptied ON marketplace_auditentry;
DROP FUNCTION marketplace_audit_refuse_emptying();
DROP TRIGGER marketplace_audit_immutable ON marketplace_auditentry;
DROP FUNCTION marketplace_audit_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("marketplace", "0020_maintenance_notices"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("action", models.CharField(help_text="marketplace.domain.audit.ACTIONS", max_length=60)),
                ("object_type", models.CharField(blank=True, max_length=60)),
                ("object_id", models.CharField(blank=True, max_length=60)),
                ("message", models.TextField(blank=True)),
                ("details", models.JSONField(blank=True, default=dict)),
                ("address", models.CharField(blank=True, help_text="Where the request came from.", max_length=45)),
                ("request_id", models.CharField(blank=True, help_text="The same in the logs.", max_length=60)),
                (
                    "account",
                    models.ForeignKey(
                        blank=True,
                        help_text="Whose account this is about.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="audit_entries",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: nobody who is signed in, or a rule of the marketplace.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "behind",
                    models.ForeignKey(
                        blank=True,
                        help_text="The member of staff who looked at the site as the actor.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "audit log",
                "indexes": [
                    models.Index(fields=["-at"], name="audit_at"),
                    models.Index(fields=["account", "-at"], name="audit_account"),
                    models.Index(fields=["actor", "-at"], name="audit_actor"),
                    models.Index(fields=["object_type", "object_id", "-at"], name="audit_object"),
                ],
            },
        ),
        migrations.RunSQL(RULES, NO_RULES),
    ]
