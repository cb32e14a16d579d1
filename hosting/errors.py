"""Refusals of this app."""


class HostingError(Exception):
    """A refusal: ``code`` is stable and machine-readable, the message a sentence, ``status`` the HTTP status."""

    status = 400

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        field: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.retry_after_seconds = retry_after_seconds
        if status is not None:
            self.status = status
