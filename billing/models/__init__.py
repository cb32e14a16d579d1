from billing.models.account import AccountKind, LedgerAccount
from billing.models.adjustment import AdjustmentRequest
from billing.models.entry import Entry, EntryKind
from billing.models.grant import CreditGrant
from billing.models.meter import Meter, MeterKind
from billing.models.posting import Posting
from billing.models.runs import CheckpointRun, LedgerCheckRun
from billing.models.segment import MeterSegment
from billing.models.terms import AccountTerms

__all__ = [
    "AccountKind",
    "AccountTerms",
    "AdjustmentRequest",
    "CheckpointRun",
    "CreditGrant",
    "Entry",
    "EntryKind",
    "LedgerAccount",
    "LedgerCheckRun",
    "Meter",
    "MeterKind",
    "MeterSegment",
    "Posting",
]
