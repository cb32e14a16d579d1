"""Hints to the workers: none is lost."""

import queue

import pytest

from marketplace.gateways import clearing_hint


def test_what_is_wanted_after_a_hint_was_sent_gets_another(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(clearing_hint, "hint_send", lambda: sent.put("hint"))
    clearing_hint.hint_clearing()
    assert sent.get(timeout=30) == "hint"
    clearing_hint.hint_clearing()
    assert sent.get(timeout=30) == "hint"
