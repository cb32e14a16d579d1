"""The sandbox as a real local server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plumbing.provider import Provider, providing


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    with providing(tmp_path) as running:
        yield running
