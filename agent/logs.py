"""One line an action: an event's name and its facts. Never values of env, keys or tokens."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

_FILE_BYTES = 10 << 20
_OLD_FILES = 4
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def configure(*, verbose: bool, file: Path | None = None) -> None:
    """Log to stderr; or all of it to a file that is begun anew as it grows, and to stderr only what is out of order."""
    level = logging.DEBUG if verbose else logging.INFO
    stderr = logging.StreamHandler()
    handlers: list[logging.Handler] = [stderr]
    if file is not None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handlers.append(RotatingFileHandler(file, maxBytes=_FILE_BYTES, backupCount=_OLD_FILES))
        stderr.setLevel(logging.WARNING)
    logging.basicConfig(level=level, format=_FORMAT, handlers=handlers)
    for noisy in ("urllib3", "docker"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def say(logger: logging.Logger, event: str, *, level: int = logging.INFO, **facts: object) -> None:
    """Log ``event key=value …``."""
    if logger.isEnabledFor(level):
        logger.log(level, " ".join([event, *(f"{name}={_shown(value)}" for name, value in facts.items())]))


def _shown(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return repr(text) if " " in text or not text else text
