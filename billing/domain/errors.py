"""Refusals. Each carries a stable ``code`` for programs and a sentence for people."""

from typing import ClassVar


class BillingError(Exception):
    """Something that billing refuses to do; nothing was written."""

    code: ClassVar[str] = "billing_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidAmountError(BillingError):
    """An amount of money that is malformed, zero, negative or too large."""

    code = "invalid_amount"


class InvalidRateError(BillingError):
    """A rate that is negative or too large."""

    code = "invalid_rate"


class InvalidShareError(BillingError):
    """A host share outside 0 to 10000 hundredths of a percent."""

    code = "invalid_share"


class InvalidMeterKindError(BillingError):
    """A kind of meter that does not exist or does not take this operation."""

    code = "invalid_meter_kind"


class InvalidReferenceError(BillingError):
    """A reference that is empty or too long."""

    code = "invalid_reference"


class UnknownMeterError(BillingError):
    """No meter has this reference."""

    code = "unknown_meter"


class MeterExistsError(BillingError):
    """The reference was used already; references are never used again."""

    code = "meter_exists"


class MeterClosedError(BillingError):
    """The meter was closed for good."""

    code = "meter_closed"


class SamePartyError(BillingError):
    """Payer and payee are one account: a host cannot rent its own machine."""

    code = "same_party"


class UnbalancedEntryError(BillingError):
    """The lines of an entry do not sum to zero."""

    code = "unbalanced_entry"


class IdempotencyConflictError(BillingError):
    """The idempotency key was used for something else."""

    code = "idempotency_conflict"


class MissingReasonError(BillingError):
    """Money moved by hand needs a reason."""

    code = "missing_reason"


class NotStaffError(BillingError):
    """Only staff move money by hand."""

    code = "not_staff"


class InsufficientCreditError(BillingError):
    """The account has less credit than it wants to give away."""

    code = "no_credit"


class TransferNotAllowedError(BillingError):
    """The account may not send credit to others."""

    code = "transfer_not_allowed"


class LedgerBusyError(BillingError):
    """Postings in flight did not end in time; trying again later is safe."""

    code = "ledger_busy"


class SamePersonError(BillingError):
    """Who asks for money to be moved by hand cannot agree to it."""

    code = "same_person"


class SecondPersonError(BillingError):
    """So much is not given by one person alone."""

    code = "second_person"


class AdjustmentDecidedError(BillingError):
    """The request was posted or rejected already."""

    code = "adjustment_decided"


class WeekNotOverError(BillingError):
    """A week is invoiced when it is over."""

    code = "week_not_over"


class PayoutStateError(BillingError):
    """A payout cannot go this way from where it is."""

    code = "payout_state"


class HoldStateError(BillingError):
    """Held earnings that cannot become what was asked for, from where they are."""

    code = "hold_state"


class PayoutMethodError(BillingError):
    """A payout method that cannot be had, or not now."""

    code = "payout_method"


class UnknownInvoiceError(BillingError):
    """The account has no such invoice."""

    code = "unknown_invoice"
    status: ClassVar[int] = 404


class NoCardError(BillingError):
    """The account has no saved card, or not this one."""

    code = "no_card"


class UnknownPaymentError(BillingError):
    """The account has no such payment, or it is past what was asked."""

    code = "unknown_payment"


class NotRefundableError(BillingError):
    """More than is left of the payment, or it never succeeded."""

    code = "not_refundable"


class PaymentsUnavailableError(BillingError):
    """The payment provider can't be reached; nothing is known to have happened, and trying again is safe."""

    code = "payments_unavailable"


class PaymentRefusedError(BillingError):
    """The payment provider does not take the request; nothing happened there."""

    code = "payment_refused"


class PaymentMismatchError(BillingError):
    """The provider tells another amount, currency or number than our payment has. Nothing is credited."""

    code = "payment_mismatch"


class ForgedEventError(BillingError):
    """A webhook without the provider's signature."""

    code = "forged_event"
