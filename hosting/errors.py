"""Refusals of this app."""


class HostingError(Exception):
    """A refusal: ``code`` is stable and machine-readable, the message a sentence, ``status`` the HTTP status."""

    status = 400

    def __init__(self, code: str, message: str, *, status: int | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        if status is not None:
            self.status = status
