"""Proofs that the ledger says what payments and payouts say; see ``billing.selectors.proofs``."""

PROCESSOR_QUERIES = {
    # What each processor holds for us, by all that is recorded of it: payments it took in less what went back and what
    # it kept, less what it carried to hosts. Its fees for disputes are recorded in the ledger only.
    "processor_wrong": """
        WITH recorded AS (
            SELECT 'stripe' AS provider, refunded_micros + disputed_micros + fee_micros - amount_micros AS micros
            FROM billing_payment WHERE state = 'succeeded'
            UNION ALL
            SELECT provider, fee_micros + CASE WHEN state IN ('sent', 'paid') THEN amount_micros ELSE 0 END
            FROM billing_payout
            UNION ALL
            SELECT a.reference, p.amount_micros
            FROM billing_entry e JOIN billing_posting p ON p.entry_id = e.id
            JOIN billing_ledgeraccount a ON a.id = p.account_id AND a.kind = 'processor_clearing'
            WHERE e.kind = 'processor_fee' AND e.idempotency_key NOT LIKE 'payment:%'
                AND e.idempotency_key NOT LIKE 'payout-%'
        ), expected AS (
            SELECT provider, SUM(micros) AS micros FROM recorded GROUP BY provider
        ), posted AS (
            SELECT a.reference AS provider, SUM(p.amount_micros) AS micros
            FROM billing_ledgeraccount a JOIN billing_posting p ON p.account_id = a.id
            WHERE a.kind = 'processor_clearing' GROUP BY a.reference
        )
        SELECT 'processor ' || provider, 'has ' || COALESCE(posted.micros, 0)
            || ' in the ledger, payments and payouts say ' || COALESCE(expected.micros, 0)
        FROM expected FULL JOIN posted USING (provider)
        WHERE COALESCE(expected.micros, 0) <> COALESCE(posted.micros, 0)
    """,
    "payment_wrong": """
        WITH posted AS (
            SELECT (e.details->>'payment')::bigint AS payment_id, SUM(p.amount_micros) AS micros
            FROM billing_entry e JOIN billing_posting p ON p.entry_id = e.id
            JOIN billing_ledgeraccount a ON a.id = p.account_id AND a.kind = 'client_credit'
            WHERE e.kind IN ('payment', 'payment_refund', 'dispute', 'dispute_won') GROUP BY 1
        ), recorded AS (
            SELECT id AS payment_id, amount_micros - refunded_micros - disputed_micros AS micros
            FROM billing_payment WHERE state = 'succeeded'
        )
        SELECT 'payment ' || COALESCE(payment_id::text, 'unknown'), 'gave ' || COALESCE(posted.micros, 0)
            || ', it should have given ' || COALESCE(recorded.micros, 0)
        FROM posted FULL JOIN recorded USING (payment_id)
        WHERE COALESCE(posted.micros, 0) <> COALESCE(recorded.micros, 0)
    """,
    "events_given_up": """
        SELECT 'event ' || event_id, 'of ' || provider || ' could not be processed: ' || error
        FROM billing_providerevent WHERE state = 'failed'
    """,
}
"""By code: subject and what does not hold."""
