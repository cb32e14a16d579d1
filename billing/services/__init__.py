"""The only writers: one function per business action."""

from billing.services.accounts import accounts_lock
from billing.services.adjustments import adjustment_approve, adjustment_reject, adjustment_request
from billing.services.auto_billing import auto_billing_set, auto_billing_suspend
from billing.services.charging import auto_billing_charge_due
from billing.services.checkout import card_page, confirmation_begin, purchase_begin
from billing.services.checkpoints import checkpoint_accounts
from billing.services.credit import credit_give, credit_grant, credit_note
from billing.services.customers import card_make_default, card_remove, cards_sync
from billing.services.earnings_holds import (
    earnings_forfeit,
    earnings_hold,
    earnings_release,
    earnings_release_by_rule,
    earnings_uphold_by_rule,
)
from billing.services.meters import (
    NewMeter,
    meter_close,
    meter_open,
    meter_pause,
    meter_resume,
    meter_set_rate,
    meters_open,
    traffic_count,
    traffic_meter_open,
)
from billing.services.payment_sync import payment_sync
from billing.services.payout_decisions import payout_declare_lost, payout_declare_sent
from billing.services.payout_holds import (
    payouts_hold,
    payouts_hold_all_by_rule,
    payouts_hold_by_rule,
    payouts_release,
    payouts_release_by_rule,
)
from billing.services.payout_methods import (
    method_choose,
    method_link,
    method_refresh,
    methods_refresh,
    onboarding_url,
    paypal_identity,
    paypal_sign_in_url,
)
from billing.services.payout_sending import payout_look, payout_retry, payout_send, payouts_look, payouts_send
from billing.services.payouts import payouts_create
from billing.services.proofs import ledger_check_if_due, ledger_check_record
from billing.services.provider_events import event_receive, events_process, events_retry
from billing.services.reconciliation import events_catch_up, payments_reconcile
from billing.services.refunds import payment_refund, refund_send
from billing.services.repricing import meter_reprice_paused, meters_set_rates
from billing.services.running_out import credit_used_up_tell, credit_warnings_send, disks_deleted_tell
from billing.services.settlement import settle_payer, settle_running
from billing.services.terms import account_terms_set, terms_request_decide
from billing.services.transfers import Transfer, credit_transfer
from billing.services.weekly import invoices_tell, weekly_run_repeat, weekly_runs

__all__ = [
    "NewMeter",
    "Transfer",
    "account_terms_set",
    "accounts_lock",
    "adjustment_approve",
    "adjustment_reject",
    "adjustment_request",
    "auto_billing_charge_due",
    "auto_billing_set",
    "auto_billing_suspend",
    "card_make_default",
    "card_page",
    "card_remove",
    "cards_sync",
    "checkpoint_accounts",
    "confirmation_begin",
    "credit_give",
    "credit_grant",
    "credit_note",
    "credit_transfer",
    "credit_used_up_tell",
    "credit_warnings_send",
    "disks_deleted_tell",
    "earnings_forfeit",
    "earnings_hold",
    "earnings_release",
    "earnings_release_by_rule",
    "earnings_uphold_by_rule",
    "event_receive",
    "events_catch_up",
    "events_process",
    "events_retry",
    "invoices_tell",
    "ledger_check_if_due",
    "ledger_check_record",
    "meter_close",
    "meter_open",
    "meter_pause",
    "meter_reprice_paused",
    "meter_resume",
    "meter_set_rate",
    "meters_open",
    "meters_set_rates",
    "method_choose",
    "method_link",
    "method_refresh",
    "methods_refresh",
    "onboarding_url",
    "payment_refund",
    "payment_sync",
    "payments_reconcile",
    "payout_declare_lost",
    "payout_declare_sent",
    "payout_look",
    "payout_retry",
    "payout_send",
    "payouts_create",
    "payouts_hold",
    "payouts_hold_all_by_rule",
    "payouts_hold_by_rule",
    "payouts_look",
    "payouts_release",
    "payouts_release_by_rule",
    "payouts_send",
    "paypal_identity",
    "paypal_sign_in_url",
    "purchase_begin",
    "refund_send",
    "settle_payer",
    "settle_running",
    "terms_request_decide",
    "traffic_count",
    "traffic_meter_open",
    "weekly_run_repeat",
    "weekly_runs",
]
