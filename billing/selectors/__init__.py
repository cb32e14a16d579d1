"""Reads of billing. None of them writes or locks anything."""

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
from billing.selectors.hosts import PayoutOutlook, invoices_of, payout_method_of, payout_outlook, payouts_of
from billing.selectors.months import (
    MonthStatement,
    MonthSum,
    Movement,
    month_statement,
    statement_months,
    statement_years,
)
from billing.selectors.movements import AccountMovement, movements, movements_count
from billing.selectors.proofs import Discrepancy, ledger_check
from billing.selectors.statements import StatementRow, statement
from billing.selectors.usage import By, UseSum, charges_by, charges_streamed, earnings_by, earnings_streamed

__all__ = [
    "AccountMovement",
    "By",
    "Discrepancy",
    "MonthStatement",
    "MonthSum",
    "Movement",
    "PayoutOutlook",
    "ReferenceTotal",
    "StatementRow",
    "UseSum",
    "balance_micros",
    "balances_micros",
    "charges_by",
    "charges_by_reference",
    "charges_streamed",
    "earnings_by",
    "earnings_by_reference",
    "earnings_streamed",
    "exhausted_payers",
    "host_earnings_micros",
    "hourly_cost_micros",
    "invoices_of",
    "ledger_check",
    "meter_total_micros",
    "meter_totals_micros",
    "month_statement",
    "movements",
    "movements_count",
    "payout_method_of",
    "payout_outlook",
    "payouts_of",
    "posted_balance_micros",
    "seconds_left",
    "statement",
    "statement_months",
    "statement_years",
    "zero_at",
]
