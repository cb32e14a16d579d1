from billing.models.account import AccountKind, LedgerAccount
from billing.models.auto_billing import AutoBilling
from billing.models.card import BillingCustomer, Card
from billing.models.entry import Entry, EntryKind
from billing.models.grant import CreditGrant
from billing.models.meter import Meter, MeterKind
from billing.models.payment import Payment, PaymentChange, PaymentDispute, PaymentPurpose, PaymentRefund
from billing.models.posting import Posting
from billing.models.provider_event import ProviderCursor, ProviderEvent
from billing.models.runs import CheckpointRun, LedgerCheckRun
from billing.models.segment import MeterSegment
from billing.models.terms import AccountTerms

__all__ = [
    "AccountKind",
    "AccountTerms",
    "AutoBilling",
    "BillingCustomer",
    "Card",
    "CheckpointRun",
    "CreditGrant",
    "Entry",
    "EntryKind",
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
    "Posting",
    "ProviderCursor",
    "ProviderEvent",
]
