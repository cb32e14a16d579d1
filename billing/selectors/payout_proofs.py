"""Proofs that invoices and payouts say what the ledger says; see ``billing.selectors.proofs``."""

PAYOUT_QUERIES = {
    # Up to the last week that is invoiced, every host's invoices are all that its use has earned it.
    "invoices_wrong": """
        WITH last AS (
            SELECT period_end, through_posting_id FROM billing_weeklyrun
            WHERE state = 'done' ORDER BY period_end DESC LIMIT 1
        ), earned AS (
            SELECT a.owner_id AS host_id, SUM(p.amount_micros) AS micros
            FROM last JOIN billing_posting p ON p.id <= last.through_posting_id AND p.occurred_at <= last.period_end
            JOIN billing_ledgeraccount a ON a.id = p.account_id AND a.kind = 'host_earnings'
            JOIN billing_entry e ON e.id = p.entry_id AND e.kind = 'usage'
            GROUP BY a.owner_id
        ), invoiced AS (
            SELECT i.host_id, SUM(i.net_micros) AS micros FROM billing_hostinvoice i, last
            WHERE i.period_end <= last.period_end GROUP BY i.host_id
        )
        SELECT 'host ' || host_id, 'has earned ' || COALESCE(earned.micros, 0) || ', its invoices say '
            || COALESCE(invoiced.micros, 0)
        FROM earned FULL JOIN invoiced USING (host_id)
        WHERE COALESCE(earned.micros, 0) <> COALESCE(invoiced.micros, 0)
    """,
    "invoice_lines_wrong": """
        SELECT 'invoice ' || i.number, 'says gross ' || i.gross_micros || ', net ' || i.net_micros || '; its lines '
            || COALESCE(SUM(l.gross_micros), 0) || ', ' || COALESCE(SUM(l.net_micros), 0)
        FROM billing_hostinvoice i LEFT JOIN billing_hostinvoiceline l ON l.invoice_id = i.id
        GROUP BY i.id
        HAVING COALESCE(SUM(l.gross_micros), 0) <> i.gross_micros OR COALESCE(SUM(l.net_micros), 0) <> i.net_micros
    """,
    "payout_entries_wrong": """
        WITH moved AS (
            SELECT (e.details->>'payout')::bigint AS payout_id, e.kind, SUM(GREATEST(p.amount_micros, 0)) AS micros
            FROM billing_entry e JOIN billing_posting p ON p.entry_id = e.id
            WHERE e.kind IN ('payout', 'payout_sent', 'payout_returned') GROUP BY e.id
        ), wanted AS (
            SELECT o.id AS payout_id, o.amount_micros AS micros, unnest(CASE o.state
                WHEN 'created' THEN ARRAY['payout'] WHEN 'sending' THEN ARRAY['payout']
                WHEN 'failed' THEN ARRAY['payout', 'payout_returned']
                WHEN 'recalled' THEN ARRAY['payout', 'payout_returned']
                WHEN 'returned' THEN ARRAY['payout', 'payout_sent', 'payout_returned']
                ELSE ARRAY['payout', 'payout_sent'] END) AS kind
            FROM billing_payout o
        )
        SELECT 'payout ' || COALESCE(payout_id::text, 'unknown'), 'has ' || COALESCE(moved.micros::text, 'no entry')
            || ' as ' || kind || ', it should have ' || COALESCE(wanted.micros::text, 'none')
        FROM moved FULL JOIN wanted USING (payout_id, kind) WHERE moved.micros IS DISTINCT FROM wanted.micros
    """,
    # What a hold's forfeiture took is at most what it held, and nothing is taken while it is open or was let go.
    "payout_holds_wrong": """
        SELECT 'hold ' || h.reference, 'is ' || h.state || ' with ' || h.amount_micros || ', its forfeiture is '
            || COALESCE(r.state || ' with ' || r.amount_micros, 'none')
        FROM billing_payouthold h LEFT JOIN billing_adjustmentrequest r ON r.id = h.forfeiture_id
        WHERE (h.state = 'forfeited') IS DISTINCT FROM (COALESCE(r.state, '') = 'posted')
            OR COALESCE(-r.amount_micros, 0) > h.amount_micros
    """,
}
"""By code: subject and what does not hold."""
