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
from billing.selectors.checks import last_check
from billing.selectors.debts import disks_end_at, overdue_payers
from billing.selectors.fleet_earnings import earned_by_earner
from billing.selectors.flights import Flights, flights
from billing.selectors.hosts import (
    PayoutOutlook,
    held_by_invoice,
    hold_by_reference,
    holds_of,
    invoices_of,
    payout_method_of,
    payout_outlook,
    payouts_of,
)
from billing.selectors.limits import client_spend_limit_micros
from billing.selectors.months import (
    MonthStatement,
    MonthSum,
    Movement,
    month_statement,
    statement_months,
    statement_years,
)
from billing.selectors.movements import NOT_USE, AccountMovement, movements, movements_count
from billing.selectors.payments import cards_of, default_card, payment_by_key, payment_of, payments_of
from billing.selectors.proofs import Discrepancy, ledger_check
from billing.selectors.running_earnings import EarningNow, earning_now
from billing.selectors.statements import StatementRow, statement
from billing.selectors.terms import least_spend_limit_micros
from billing.selectors.usage import By, UseSum, charges_by, charges_streamed, earnings_by, earnings_streamed

__all__ = [
    "NOT_USE",
    "AccountMovement",
    "By",
    "Discrepancy",
    "EarningNow",
    "Flights",
    "MonthStatement",
    "MonthSum",
    "Movement",
    "PayoutOutlook",
    "ReferenceTotal",
    "StatementRow",
    "UseSum",
    "auto_billing_of",
    "balance_micros",
    "balances_micros",
    "cards_of",
    "charges_by",
    "charges_by_reference",
    "charges_streamed",
    "client_spend_limit_micros",
    "default_card",
    "disks_end_at",
    "earned_by_earner",
    "earning_now",
    "earnings_by",
    "earnings_by_reference",
    "earnings_streamed",
    "exhausted_payers",
    "flights",
    "held_by_invoice",
    "hold_by_reference",
    "holds_of",
    "host_earnings_micros",
    "hourly_cost_micros",
    "invoices_of",
    "last_check",
    "least_spend_limit_micros",
    "ledger_check",
    "meter_total_micros",
    "meter_totals_micros",
    "month_statement",
    "movements",
    "movements_count",
    "overdue_payers",
    "payment_by_key",
    "payment_of",
    "payments_of",
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
