"""A request to keep what was held of a host's earnings is agreed to: the hold ends with it."""

from datetime import datetime

from billing import locks
from billing.domain.errors import HoldStateError
from billing.domain.payout_holds import FORFEITED, UPHELD
from billing.models import AdjustmentRequest, PayoutHold


def holds_forfeit(request: AdjustmentRequest, now: datetime) -> None:
    """End the hold that the locked request keeps the amount of, if it is such a request.

    Raises HoldStateError where that was let go meanwhile: nothing is taken then.
    """
    host_ids = PayoutHold.objects.filter(forfeiture=request).values_list("host_id", flat=True)
    locks.host_accounts(list(host_ids))
    for hold in PayoutHold.objects.filter(forfeiture=request):
        if hold.state != UPHELD:
            raise HoldStateError(f"The amount of {hold} is {hold.state}; reject the request.")
        hold.state, hold.ended_at = FORFEITED, now
        hold.save(update_fields=["state", "ended_at"])
