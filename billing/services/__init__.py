"""The only writers: one function per business action."""

from billing.services.accounts import accounts_lock
from billing.services.checkpoints import checkpoint_accounts
from billing.services.credit import credit_grant
from billing.services.meters import (
    meter_close,
    meter_open,
    meter_pause,
    meter_resume,
    meter_set_rate,
    traffic_count,
    traffic_meter_open,
)
from billing.services.payout_hints import hint_follow, paypal_event_take, stripe_connect_event_take
from billing.services.payout_holds import payouts_hold, payouts_release
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
from billing.services.proofs import ledger_check_record
from billing.services.repricing import meter_reprice_paused, meters_set_rates
from billing.services.settlement import settle_payer, settle_running
from billing.services.transfers import Transfer, credit_transfer
from billing.services.weekly import invoices_tell, weekly_run_repeat, weekly_runs

__all__ = [
    "Transfer",
    "accounts_lock",
    "checkpoint_accounts",
    "credit_grant",
    "credit_transfer",
    "hint_follow",
    "invoices_tell",
    "ledger_check_record",
    "meter_close",
    "meter_open",
    "meter_pause",
    "meter_reprice_paused",
    "meter_resume",
    "meter_set_rate",
    "meters_set_rates",
    "method_choose",
    "method_link",
    "method_refresh",
    "methods_refresh",
    "onboarding_url",
    "payout_look",
    "payout_retry",
    "payout_send",
    "payouts_create",
    "payouts_hold",
    "payouts_look",
    "payouts_release",
    "payouts_send",
    "paypal_event_take",
    "paypal_identity",
    "paypal_sign_in_url",
    "settle_payer",
    "settle_running",
    "stripe_connect_event_take",
    "traffic_count",
    "traffic_meter_open",
    "weekly_run_repeat",
    "weekly_runs",
]
