from billing.models.account import AccountKind, LedgerAccount
from billing.models.adjustment import AdjustmentRequest
from billing.models.auto_billing import AutoBilling
from billing.models.card import BillingCustomer, Card
from billing.models.entry import Entry, EntryKind
from billing.models.grant import CreditGrant
from billing.models.invoice import HostInvoice, HostInvoiceLine
from billing.models.meter import Meter, MeterKind
from billing.models.payment import Payment, PaymentChange, PaymentDispute, PaymentPurpose, PaymentRefund
from billing.models.payout import Payout, PayoutEvent, PayoutStateName
from billing.models.payout_hold import PayoutHold
from billing.models.payout_method import PayoutMethod, PayoutMethodState, ProviderName
from billing.models.posting import Posting
from billing.models.provider_event import ProviderCursor, ProviderEvent
from billing.models.runs import CheckpointRun, LedgerCheckRun
from billing.models.segment import MeterSegment
from billing.models.terms import AccountTerms
from billing.models.terms_request import TermsRequest
from billing.models.weekly_run import WeeklyRun, WeeklyRunState

__all__ = [
    "AccountKind",
    "AccountTerms",
    "AdjustmentRequest",
    "AutoBilling",
    "BillingCustomer",
    "Card",
    "CheckpointRun",
    "CreditGrant",
    "Entry",
    "EntryKind",
    "HostInvoice",
    "HostInvoiceLine",
    "LedgerAccount",
    "LedgerCheckRun",
    "Meter",
    "MeterKind",
    "MeterSegment",
    "Payment",
    "PaymentChange",
    "PaymentDispute",
    "PaymentPurpose",
    "PaymentRefund",
    "Payout",
    "PayoutEvent",
    "PayoutHold",
    "PayoutMethod",
    "PayoutMethodState",
    "PayoutStateName",
    "Posting",
    "ProviderCursor",
    "ProviderEvent",
    "ProviderName",
    "TermsRequest",
    "WeeklyRun",
    "WeeklyRunState",
]
