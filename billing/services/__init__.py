"""The only writers: one function per business action."""

from billing.services.accounts import accounts_lock
from billing.services.adjustments import adjustment_approve, adjustment_reject, adjustment_request
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
from billing.services.proofs import ledger_check_if_due, ledger_check_record
from billing.services.repricing import meter_reprice_paused, meters_set_rates
from billing.services.running_out import credit_used_up_tell, credit_warnings_send, disks_deleted_tell
from billing.services.settlement import settle_payer, settle_running

__all__ = [
    "accounts_lock",
    "adjustment_approve",
    "adjustment_reject",
    "adjustment_request",
    "checkpoint_accounts",
    "credit_grant",
    "credit_used_up_tell",
    "credit_warnings_send",
    "disks_deleted_tell",
    "ledger_check_if_due",
    "ledger_check_record",
    "meter_close",
    "meter_open",
    "meter_pause",
    "meter_reprice_paused",
    "meter_resume",
    "meter_set_rate",
    "meters_set_rates",
    "settle_payer",
    "settle_running",
    "traffic_count",
    "traffic_meter_open",
]
