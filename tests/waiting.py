"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found], within: float = 60.0, every: float = 0.05) -> Found:
    """The first true answer of `condition`; AssertionError if there is none `within` seconds."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"Nothing came of it within {within:g} s."
        time.sleep(every)
    return found
