"""Reads of billing. None of them writes or locks anything."""

from billing.selectors.auto_billing import auto_billing_of
from billing.selectors.balances import (
    balance_micros,
    balances_micros,
    exhausted_payers,
    host_earnings_micros,
    hourly_cost_micros,
    posted_balance_micros,
    seconds_left,
    zero_at,
)
from billing.selectors.charges import (
    ReferenceTotal,
    charges_by_reference,
    earnings_by_reference,
    meter_total_micros,
    meter_totals_micros,
)
from billing.selectors.payments import cards_of, default_card, payment_by_key, payments_of
from billing.selectors.proofs import Discrepancy, ledger_check
from billing.selectors.statements import StatementRow, statement

__all__ = [
    "Discrepancy",
    "ReferenceTotal",
    "StatementRow",
    "auto_billing_of",
    "balance_micros",
    "balances_micros",
    "cards_of",
    "charges_by_reference",
    "default_card",
    "earnings_by_reference",
    "exhausted_payers",
    "host_earnings_micros",
    "hourly_cost_micros",
    "ledger_check",
    "meter_total_micros",
    "meter_totals_micros",
    "payment_by_key",
    "payments_of",
    "posted_balance_micros",
    "seconds_left",
    "statement",
    "zero_at",
]
