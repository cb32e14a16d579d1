"""Calls of the public API the way clients make them, through Django's whole stack."""

import json
from dataclasses import dataclass
from typing import Any

from django.test import Client

from marketplace.models import User
from marketplace.services.keys import api_key_create
from tests.plumbing.market import T0


@dataclass(frozen=True)
class Answer:
    """What came back: the status and the JSON."""

    status: int
    json: Any

    @property
    def error(self) -> str:
        """The code of a refusal, after checking that it is a whole one."""
        assert self.status >= 400, self.json
        assert self.json["success"] is False
        assert isinstance(self.json["msg"], str)
        assert self.json["msg"]
        return str(self.json["error"])


class Api:
    """A caller with a key, or without one."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self._client = Client()

    @classmethod
    def of(cls, user: User) -> "Api":
        """A caller with a fresh key of the account."""
        return cls(api_key_create(user=user, name="test", now=T0)[1])

    def get(self, path: str, **query: Any) -> Answer:
        """Query arguments that are no texts travel as JSON, as the client sends them."""
        encoded = {name: value if isinstance(value, str) else json.dumps(value) for name, value in query.items()}
        return self._answer(self._client.get(_address(path), encoded, headers=self._headers()))

    def post(self, path: str, body: Any = None) -> Answer:
        return self.send("POST", path, {} if body is None else body)

    def put(self, path: str, body: Any = None, *, key: str = "") -> Answer:
        """``key`` is the request's idempotency key."""
        return self.send("PUT", path, {} if body is None else body, **({"Idempotency-Key": key} if key else {}))

    def delete(self, path: str, body: Any = None) -> Answer:
        return self.send("DELETE", path, {} if body is None else body)

    def send(self, method: str, path: str, body: Any, **headers: str) -> Answer:
        """Any method, with a JSON body, or with bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self._client.generic(
            method, _address(path), data, content_type="application/json", headers=self._headers() | headers
        )
        return self._answer(answer)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def _answer(self, response: Any) -> Answer:
        assert response.headers["Content-Type"] == "application/json", response.content
        return Answer(response.status_code, json.loads(response.content))


def _address(path: str) -> str:
    return path if path.startswith("/api/") else f"/api/v0{path}"
