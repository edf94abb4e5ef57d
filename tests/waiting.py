"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE = 600.0  # seconds; a guard against hanging on a busy machine, never a measurement


def wait_until(
    condition: Callable[[], Found | None], within: float = PATIENCE, every: float = 0.05
) -> Found:
    """Return the first true answer of `condition`.

    Raises AssertionError if there is none `within` seconds.
    """
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"It was not so within {within:g} s."
        time.sleep(every)
    return found
