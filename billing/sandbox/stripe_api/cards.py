"""Stripe's test card numbers and what happens to them: https://docs.stripe.com/testing"""

from dataclasses import dataclass


@dataclass(frozen=True)
class CardType:
    """How a test card behaves."""

    brand: str = "visa"
    attach_declined: str = ""
    """The decline code when the card is to be saved, or is paid with in person."""
    charge_declined: str = ""
    """The decline code whenever it is charged."""
    authentication: str = "never"
    """When 3-D Secure is needed: ``never``, ``unprepared`` (unless it was saved with it), ``always``."""
    disputed: str = ""
    """The reason for which the owner disputes every charge at once."""


TEST_CARDS = {
    "4242424242424242": CardType(),
    "5555555555554444": CardType(brand="mastercard"),
    "4000000000000002": CardType(attach_declined="generic_decline", charge_declined="generic_decline"),
    "4000000000009995": CardType(attach_declined="insufficient_funds", charge_declined="insufficient_funds"),
    "4000000000000341": CardType(charge_declined="generic_decline"),
    "4000002500003155": CardType(authentication="unprepared"),
    "4000002760003184": CardType(authentication="always"),
    "4000000000000259": CardType(disputed="fraudulent"),
}
MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
}


def needs_authentication(card: CardType, *, off_session: bool, prepared: bool) -> bool:
    """Whether the bank wants its customer to confirm. ``prepared``: it was confirmed when the card was saved."""
    if card.authentication == "always":
        return True
    return card.authentication == "unprepared" and not (off_session and prepared)
