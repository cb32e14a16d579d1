"""What accounts are told about their money."""

CREDIT_LOW = "credit_low"  # it lasts for a day, or an hour, more
CREDIT_USED_UP = "credit_used_up"  # instances were stopped
DISKS_EXPIRING = "disks_expiring"  # the debt is near its limit
DISKS_DELETED = "disks_deleted"  # the debt reached its limit
PAYMENT_RECEIVED = "payment_received"
PAYMENT_FAILED = "payment_failed"  # a card was declined
PAYMENT_ACTION = "payment_action"  # the bank wants the client to confirm
PAYMENT_REFUNDED = "payment_refunded"
AUTO_BILLING_OFF = "auto_billing_off"
DISPUTE_OPENED = "dispute_opened"
DISPUTE_CLOSED = "dispute_closed"
INVOICE_ISSUED = "invoice_issued"
PAYOUT_SENT = "payout_sent"
PAYOUT_RETURNED = "payout_returned"  # it failed or came back; the money is back on the account
PAYOUT_METHOD = "payout_method"  # ready, or no longer

KINDS = (
    CREDIT_LOW,
    CREDIT_USED_UP,
    DISKS_EXPIRING,
    DISKS_DELETED,
    PAYMENT_RECEIVED,
    PAYMENT_FAILED,
    PAYMENT_ACTION,
    PAYMENT_REFUNDED,
    AUTO_BILLING_OFF,
    DISPUTE_OPENED,
    DISPUTE_CLOSED,
    INVOICE_ISSUED,
    PAYOUT_SENT,
    PAYOUT_RETURNED,
    PAYOUT_METHOD,
)
HOST_KINDS = (INVOICE_ISSUED, PAYOUT_SENT, PAYOUT_RETURNED, PAYOUT_METHOD)
"""Those about what an account earns; the others are about what it spends."""
