"""Where a payment can be, and where it can go from there."""

CREATED = "created"  # ours alone: the provider may not have heard of it
PROCESSING = "processing"  # the provider may have it, and money may be on its way
SUCCEEDED = "succeeded"  # the money is there, and so is the credit
FAILED = "failed"  # the card was declined
ACTION_REQUIRED = "action_required"  # the bank wants the client itself to confirm
CANCELED = "canceled"  # nobody waits for it any more

STATES = (CREATED, PROCESSING, SUCCEEDED, FAILED, ACTION_REQUIRED, CANCELED)
IN_FLIGHT = (CREATED, PROCESSING)
"""Still to be heard of; an account has at most one of auto-billing's."""

TRANSITIONS: dict[str, tuple[str, ...]] = {
    CREATED: (PROCESSING, SUCCEEDED, FAILED, ACTION_REQUIRED, CANCELED),
    PROCESSING: (SUCCEEDED, FAILED, ACTION_REQUIRED, CANCELED),
    ACTION_REQUIRED: (SUCCEEDED, FAILED, CANCELED),
    # Money that came is credited, whatever we thought before.
    FAILED: (SUCCEEDED,),
    CANCELED: (SUCCEEDED,),
    SUCCEEDED: (),
}


def may_go(state: str, target: str) -> bool:
    """Whether a payment in ``state`` can become ``target``."""
    return target in TRANSITIONS[state]
