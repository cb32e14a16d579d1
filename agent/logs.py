"""One line an action: an event's name and its facts. Never values of env, keys or tokens."""

import logging

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def configure(*, verbose: bool) -> None:
    """Log to stderr."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format=_FORMAT)
    for noisy in ("urllib3", "docker"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def say(logger: logging.Logger, event: str, *, level: int = logging.INFO, **facts: object) -> None:
    """Log ``event key=value …``."""
    if logger.isEnabledFor(level):
        logger.log(level, " ".join([event, *(f"{name}={_shown(value)}" for name, value in facts.items())]))


def _shown(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return repr(text) if " " in text or not text else text
