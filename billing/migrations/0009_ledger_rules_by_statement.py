"""The ledger's rules, checked once for each statement instead of once for each row.

A statement that inserts postings looks at what it added: where the amounts of an entry sum to zero and entry and accounts
exist, all is as good as before. What does not fit yet (an entry before its postings, half of an entry's postings) becomes
a suspect, and every suspect is looked at again at commit, which fails unless it holds then. Entries and accounts that
exist go on existing, because nothing deletes or renumbers them; so postings need no foreign keys, which would lock the
platform's accounts in every transaction, shared but with a write to the same rows for each.
"""

import django.db.models.deletion
from django.db import migrations, models

RULES = """
DROP TRIGGER billing_entry_moves ON billing_entry;
DROP TRIGGER billing_posting_balances ON billing_posting;
DROP FUNCTION billing_entry_must_move();
DROP FUNCTION billing_entry_must_balance();

CREATE TABLE billing_suspect (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id bigint NOT NULL
);
COMMENT ON TABLE billing_suspect IS 'Entries that must be looked at before this transaction commits; else empty.';

CREATE FUNCTION billing_suspect_must_hold() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    total numeric;
    nowhere bigint;
BEGIN
    SELECT SUM(amount_micros) INTO total FROM billing_posting WHERE entry_id = NEW.entry_id;
    IF total IS NULL THEN
        RAISE EXCEPTION 'ledger entry % has no postings', NEW.entry_id USING ERRCODE = 'check_violation';
    ELSIF total <> 0 THEN
        RAISE EXCEPTION 'ledger entry % does not balance: its postings sum to % micro-dollars', NEW.entry_id, total
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM 1 FROM billing_entry WHERE id = NEW.entry_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'postings of ledger entry %, which does not exist', NEW.entry_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    SELECT p.account_id INTO nowhere FROM billing_posting p WHERE p.entry_id = NEW.entry_id
        AND NOT EXISTS (SELECT 1 FROM billing_ledgeraccount a WHERE a.id = p.account_id);
    IF FOUND THEN
        RAISE EXCEPTION 'ledger entry % has a posting on account %, which does not exist', NEW.entry_id, nowhere
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    DELETE FROM billing_suspect WHERE id = NEW.id;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER billing_suspect_holds AFTER INSERT ON billing_suspect
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_suspect_must_hold();

-- The lookups are scalar subqueries, and by index however small the tables are when a connection plans them: it keeps
-- the plan while they grow.
CREATE FUNCTION billing_entries_suspect() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    suspects bigint[];
BEGIN
    suspects := ARRAY(
        SELECT a.id FROM added a WHERE (SELECT p.id FROM billing_posting p WHERE p.entry_id = a.id LIMIT 1) IS NULL
    );
    IF cardinality(suspects) > 0 THEN
        INSERT INTO billing_suspect (entry_id) SELECT unnest(suspects);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER billing_entry_suspected AFTER INSERT ON billing_entry
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing_entries_suspect();

CREATE FUNCTION billing_postings_suspect() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    suspects bigint[];
BEGIN
    suspects := ARRAY(
        SELECT a.entry_id FROM added a GROUP BY a.entry_id
        HAVING SUM(a.amount_micros) <> 0
            OR (SELECT e.id FROM billing_entry e WHERE e.id = a.entry_id) IS NULL
            OR bool_or((SELECT l.id FROM billing_ledgeraccount l WHERE l.id = a.account_id) IS NULL)
    );
    IF cardinality(suspects) > 0 THEN
        INSERT INTO billing_suspect (entry_id) SELECT unnest(suspects);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER billing_posting_suspected AFTER INSERT ON billing_posting
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing_postings_suspect();

CREATE OR REPLACE FUNCTION billing_announce_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    nothing text;
BEGIN
    -- The key is POSTINGS_LOCK_KEY in billing/locks.py. Assigned, it needs no query.
    nothing := pg_advisory_xact_lock_shared(836201174401);
    RETURN NULL;
END $$;

CREATE TRIGGER billing_account_kept BEFORE DELETE OR UPDATE OF id ON billing_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();

CREATE FUNCTION billing_refuse_emptying() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM billing_posting) THEN
        RAISE EXCEPTION 'TRUNCATE on % is refused: there are postings', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER billing_entry_not_emptied AFTER TRUNCATE ON billing_entry
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_emptying();
CREATE TRIGGER billing_account_not_emptied AFTER TRUNCATE ON billing_ledgeraccount
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_emptying();
"""

RULES_BY_ROW = """
CREATE OR REPLACE FUNCTION billing_announce_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(836201174401);
    RETURN NULL;
END $$;
DROP TRIGGER billing_account_not_emptied ON billing_ledgeraccount;
DROP TRIGGER billing_entry_not_emptied ON billing_entry;
DROP FUNCTION billing_refuse_emptying();
DROP TRIGGER billing_account_kept ON billing_ledgeraccount;
DROP TRIGGER billing_posting_suspected ON billing_posting;
DROP FUNCTION billing_postings_suspect();
DROP TRIGGER billing_entry_suspected ON billing_entry;
DROP FUNCTION billing_entries_suspect();
DROP TABLE billing_suspect;
DROP FUNCTION billing_suspect_must_hold();

CREATE FUNCTION billing_entry_must_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
BEGIN
    SELECT SUM(amount_micros) INTO total FROM billing_posting WHERE entry_id = NEW.entry_id;
    IF total <> 0 THEN
        RAISE EXCEPTION 'ledger entry % does not balance: its postings sum to % micro-dollars', NEW.entry_id, total
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER billing_posting_balances AFTER INSERT ON billing_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_entry_must_balance();
CREATE FUNCTION billing_entry_must_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM billing_posting WHERE entry_id = NEW.id) THEN
        RAISE EXCEPTION 'ledger entry % has no postings', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER billing_entry_moves AFTER INSERT ON billing_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_entry_must_move();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_adjustment_requests")]

    operations = [
        migrations.RunSQL(RULES, RULES_BY_ROW),
        migrations.AlterField(
            model_name="posting",
            name="entry",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="postings",
                to="billing.entry",
            ),
        ),
        migrations.AlterField(
            model_name="posting",
            name="account",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="postings",
                to="billing.ledgeraccount",
            ),
        ),
    ]
