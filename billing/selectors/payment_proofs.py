"""Proofs about payments, as ``billing.selectors.proofs`` runs them."""

PAYMENT_QUERIES = {
    "payment_wrong": """
        SELECT 'payment ' || p.id, 'is worth ' || p.worth || ' to its client, the ledger gave ' || COALESCE(l.micros, 0)
        FROM (SELECT id, CASE state WHEN 'succeeded' THEN amount_micros - refunded_micros - disputed_micros ELSE 0
            END AS worth FROM billing_payment) p
        LEFT JOIN (
            SELECT (e.details ->> 'payment')::bigint AS payment_id, SUM(s.amount_micros) AS micros
            FROM billing_entry e JOIN billing_posting s ON s.entry_id = e.id
            JOIN billing_ledgeraccount a ON a.id = s.account_id AND a.kind = 'client_credit'
            WHERE e.kind IN ('payment', 'payment_refund', 'dispute', 'dispute_won') GROUP BY 1
        ) l ON l.payment_id = p.id
        WHERE p.worth <> COALESCE(l.micros, 0)
    """,
    "provider_event_given_up": """
        SELECT 'event ' || event_id, 'of ' || provider || ' could not be processed: ' || error
        FROM billing_providerevent WHERE state = 'failed'
    """,
}
