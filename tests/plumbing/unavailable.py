"""What to do where a test can't run for want of something."""

import os
from typing import NoReturn

import pytest


def unavailable(reason: str) -> NoReturn:
    """Fails the test under CI, where everything has to be there, and skips it elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
