"""The features that staff can switch off, or give to some accounts first."""

from dataclasses import dataclass

from billing.domain.features import CHARGE_CARDS, SEND_PAYOUTS
from hosting.domain.features import ADD_MACHINES, SWITCHED_OFF

SIGN_UP = "sign_up"
RENT = "rent"
BID = "bid"
MOVE = "move"


@dataclass(frozen=True)
class Feature:
    """``without``: what the marketplace does while it is off. ``refusal``: what is told to whoever wants it then."""

    without: str
    refusal: str = ""
    by_account: bool = True


FEATURES = {
    SIGN_UP: Feature("Nobody can open an account.", by_account=False),
    RENT: Feature(
        "Nothing is rented on demand. What runs goes on.",
        "Renting is switched off at the moment. What you have goes on; try again later.",
    ),
    BID: Feature(
        "Nothing is rented with a bid. What runs or waits goes on.",
        "Renting with a bid is switched off at the moment. Rent on demand, or try again later.",
    ),
    MOVE: Feature(
        "No instance is moved to another machine. Moves under way are finished.",
        "Moving instances is switched off at the moment. Try again later.",
    ),
    ADD_MACHINES: Feature(
        "No machine is added. Those that are there go on.",
        SWITCHED_OFF,
    ),
    CHARGE_CARDS: Feature("No card is charged by itself. Clients can still pay.", by_account=False),
    SEND_PAYOUTS: Feature("No payout is sent. They wait, and are sent once it is on again.", by_account=False),
}
"""Every feature by its name."""
