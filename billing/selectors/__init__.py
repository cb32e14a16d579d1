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
from billing.selectors.checks import last_check
from billing.selectors.debts import disks_end_at, overdue_payers
from billing.selectors.limits import client_spend_limit_micros
from billing.selectors.proofs import Discrepancy, ledger_check
from billing.selectors.statements import StatementRow, statement
from billing.selectors.terms import least_spend_limit_micros

__all__ = [
    "Discrepancy",
    "ReferenceTotal",
    "StatementRow",
    "balance_micros",
    "balances_micros",
    "charges_by_reference",
    "client_spend_limit_micros",
    "disks_end_at",
    "earnings_by_reference",
    "exhausted_payers",
    "host_earnings_micros",
    "hourly_cost_micros",
    "last_check",
    "least_spend_limit_micros",
    "ledger_check",
    "meter_total_micros",
    "meter_totals_micros",
    "overdue_payers",
    "posted_balance_micros",
    "seconds_left",
    "statement",
    "zero_at",
]
