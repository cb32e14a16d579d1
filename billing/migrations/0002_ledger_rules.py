"""The rules of the ledger that hold even for raw SQL.

An entry has postings and they sum to zero, checked at commit. Entries and postings are never changed or deleted; emptying
whole tables (TRUNCATE, as test runners do) fires no row trigger and stays possible. Inserting postings takes a shared
lock before any posting id is drawn, so that a checkpoint, which takes it exclusively for a moment, knows an id up to
which every posting is final although transactions commit in any order.
"""

from django.db import migrations

RULES = """
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

CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'Correct a mistake with a new entry.';
END $$;

CREATE TRIGGER billing_entry_immutable BEFORE UPDATE OR DELETE ON billing_entry
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER billing_posting_immutable BEFORE UPDATE OR DELETE ON billing_posting
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();

CREATE FUNCTION billing_announce_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The key is POSTINGS_LOCK_KEY in billing/locks.py.
    PERFORM pg_advisory_xact_lock_shared(836201174401);
    RETURN NULL;
END $$;

CREATE TRIGGER billing_posting_announced BEFORE INSERT ON billing_posting
    FOR EACH STATEMENT EXECUTE FUNCTION billing_announce_postings();
"""

NO_RULES = """
DROP TRIGGER billing_posting_announced ON billing_posting;
DROP TRIGGER billing_posting_immutable ON billing_posting;
DROP TRIGGER billing_entry_immutable ON billing_entry;
DROP TRIGGER billing_entry_moves ON billing_entry;
DROP TRIGGER billing_posting_balances ON billing_posting;
DROP FUNCTION billing_announce_postings();
DROP FUNCTION billing_refuse_change();
DROP FUNCTION billing_entry_must_move();
DROP FUNCTION billing_entry_must_balance();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [migrations.RunSQL(RULES, NO_RULES)]
