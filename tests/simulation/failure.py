"""What the simulation raises when something is not as it should be."""


class WrongError(AssertionError):
    """Something that must never be, in a sentence."""


def must(holds: bool, *facts: object) -> None:
    """Raises WrongError with these facts unless it holds."""
    if not holds:
        raise WrongError(" ".join(str(fact) for fact in facts))
