"""The public API, as a program of somebody's would use it."""

from typing import Any

import requests

TIMEOUT_SECONDS = 60


class ApiError(Exception):
    """A refusal, with its code; or no answer at all."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Api:
    """One account. Safe to share between threads."""

    def __init__(self, server: str, key: str) -> None:
        self._base = f"{server}/api/v0"
        self._headers = {"Authorization": f"Bearer {key}"}

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer, which is an object. Raises ApiError."""
        try:
            answer = requests.request(
                method, self._base + path, json=body, headers=self._headers, timeout=TIMEOUT_SECONDS
            )
            told = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise ApiError("no_answer", str(error)) from error
        if not answer.ok or told.get("success") is False:
            raise ApiError(str(told.get("error", answer.status_code)), str(told.get("msg", "")))
        return dict(told)
