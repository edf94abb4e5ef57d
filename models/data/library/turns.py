"""Work of an API process that takes much memory, done by few threads at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import TooMany

LARGE_BYTES = 1024**2  # a request body or file above this takes a turn
LARGE_CELLS = 100_000  # and so does a dataset above this

_RETRY_SECONDS = 10


class Turns:
    """At most `count` threads at once; a thread that has a turn may take it again.

    `seconds` is how long a thread waits for its turn.
    """

    def __init__(self, count: int = 1, seconds: float = 60.0) -> None:
        self._free = threading.BoundedSemaphore(count)
        self._seconds = seconds
        self._own = threading.local()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a turn while the block runs; raise TooMany where none is free in time."""
        if getattr(self._own, "is_taken", False):
            yield
            return
        if not self._free.acquire(timeout=self._seconds):
            raise TooMany(
                "Other uploads and large datasets are being read; try again.", _RETRY_SECONDS
            )
        self._own.is_taken = True
        try:
            yield
        finally:
            self._own.is_taken = False
            self._free.release()
