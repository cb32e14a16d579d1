"""Refusals of this app."""


class MarketError(Exception):
    """A refusal: ``code`` is stable and machine-readable, the message a sentence, ``status`` the HTTP status.

    ``field`` names the input at fault where there is one.
    """

    def __init__(self, code: str, message: str, *, status: int = 400, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.field = field
